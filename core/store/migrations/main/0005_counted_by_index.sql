DROP INDEX "thread_owner_id_unread";
CREATE INDEX "thread_owner_id_unread_deleted_at" ON "thread" ("owner_id", "unread", "deleted_at");
DROP INDEX "thread_owner_id_waiting";
CREATE INDEX "thread_owner_id_waiting_deleted_at_last_at_id" ON "thread" ("owner_id", "waiting", "deleted_at", "last_at", "id") WHERE ("waiting" IS NOT NULL);
DROP INDEX "participant_address";
CREATE INDEX "participant_address" ON "participant" ("address") WHERE ("contact_id" IS NULL);
CREATE INDEX "thread_state_rep_id_archived_at_thread_id" ON "thread_state" ("rep_id", "archived_at", "thread_id") WHERE ("archived_at" IS NOT NULL);
DROP TABLE IF EXISTS "search_word";
