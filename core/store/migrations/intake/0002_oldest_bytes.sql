CREATE INDEX "raw_stored_at" ON "raw" ("stored_at");
UPDATE "inbound" SET "due_at" = 0 WHERE "state" = 'received' AND "due_at" IS NULL AND "attempts" > 0;
