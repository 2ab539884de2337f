CREATE TABLE "thread_id_new" (
    "owner_id" INTEGER NOT NULL,
    "message_id" TEXT NOT NULL,
    "thread_id" INTEGER NOT NULL,
    PRIMARY KEY ("message_id", "owner_id"),
    FOREIGN KEY ("owner_id") REFERENCES "rep" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("thread_id") REFERENCES "thread" ("id") ON DELETE CASCADE
);
INSERT INTO "thread_id_new" ("owner_id", "message_id", "thread_id") SELECT "owner_id", "message_id", "thread_id" FROM "thread_id";
DROP TABLE "thread_id";
ALTER TABLE "thread_id_new" RENAME TO "thread_id";
CREATE INDEX "thread_id_thread_id" ON "thread_id" ("thread_id");
DROP INDEX "message_message_id";
DROP INDEX "participant_contact_id";
CREATE INDEX "participant_contact_id" ON "participant" ("contact_id") WHERE ("contact_id" IS NOT NULL);
DROP INDEX "thread_owner_id_waiting";
CREATE INDEX "thread_owner_id_waiting" ON "thread" ("owner_id", "waiting") WHERE ("waiting" IS NOT NULL);
DROP INDEX "thread_split_from_id";
CREATE INDEX "thread_split_from_id" ON "thread" ("split_from_id") WHERE ("split_from_id" IS NOT NULL);
DROP INDEX "outcome_thread_id";
CREATE INDEX "outcome_thread_id" ON "outcome" ("thread_id") WHERE ("thread_id" IS NOT NULL);
DROP INDEX "outcome_rep_id_state_reason";
CREATE INDEX "outcome_rep_id_state_reason" ON "outcome" ("rep_id", "state", "reason") WHERE ("state" != 'logged');
CREATE INDEX "audit_about" ON "audit" ("about");
