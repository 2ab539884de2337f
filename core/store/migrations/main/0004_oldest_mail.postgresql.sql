ALTER TABLE "thread" ADD COLUMN "oldest_at" BIGINT NOT NULL DEFAULT 0;
UPDATE "thread" SET "oldest_at" = COALESCE((SELECT MIN(m."date") FROM "message" m WHERE m."thread_id" = "thread"."id" AND m."deleted_at" IS NULL), 0);
DROP INDEX "thread_owner_id_last_at_id";
DROP INDEX "thread_sharing_last_at_id";
CREATE INDEX "thread_owner_id_last_at_id_oldest_at" ON "thread" ("owner_id", "last_at", "id", "oldest_at");
CREATE INDEX "thread_sharing_last_at_id_oldest_at" ON "thread" ("sharing", "last_at", "id", "oldest_at");
CREATE INDEX "thread_last_at_id" ON "thread" ("last_at", "id") WHERE ("waiting" IS NOT NULL);
CREATE INDEX "link_created_at" ON "link" ("created_at") WHERE ("record_id" IS NOT NULL);
