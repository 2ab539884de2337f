CREATE INDEX "raw_stored_at" ON "raw" ("stored_at");
