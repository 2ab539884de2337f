DROP INDEX "message_thread_id_date";
CREATE INDEX "message_thread_id_date_deleted_at" ON "message" ("thread_id", "date", "deleted_at");
