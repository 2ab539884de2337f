DROP INDEX "message_thread_id_date_deleted_at";
CREATE INDEX "message_thread_id_date_id_deleted_at" ON "message" ("thread_id", "date", "id", "deleted_at");
