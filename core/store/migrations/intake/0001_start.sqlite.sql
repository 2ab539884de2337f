CREATE TABLE "inbound" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "source" TEXT NOT NULL,
    "instance" TEXT NOT NULL,
    "source_key" TEXT,
    "envelope" TEXT NOT NULL,
    "sha256" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "received_at" INTEGER NOT NULL,
    "state" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL,
    "crashes" INTEGER NOT NULL,
    "retries" INTEGER NOT NULL,
    "due_at" INTEGER,
    "lease_until" INTEGER,
    "lease_token" TEXT,
    "worker" TEXT,
    "released_by" TEXT,
    "claimed_for" INTEGER
);
CREATE INDEX "inbound_sha256" ON "inbound" ("sha256");
CREATE UNIQUE INDEX "inbound_instance_source_key" ON "inbound" ("instance", "source_key");
CREATE INDEX "inbound_state_due_at" ON "inbound" ("state", "due_at");
CREATE TABLE "raw" (
    "sha256" TEXT NOT NULL PRIMARY KEY,
    "size" INTEGER NOT NULL,
    "content" BLOB NOT NULL,
    "stored_at" INTEGER NOT NULL
);
