CREATE TABLE "rep" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "external_id" TEXT,
    "email" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "password_hash" TEXT,
    "session_epoch" INTEGER NOT NULL,
    "default_sharing" TEXT NOT NULL,
    "auto_link" INTEGER NOT NULL,
    "time_zone" TEXT NOT NULL,
    "language" TEXT NOT NULL,
    "theme" TEXT NOT NULL,
    "density" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL
);
CREATE UNIQUE INDEX "rep_external_id" ON "rep" ("external_id");
CREATE UNIQUE INDEX "rep_email" ON "rep" ("email");
CREATE TABLE "api_token" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "rep_id" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "hashed" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    "last_used_at" INTEGER,
    FOREIGN KEY ("rep_id") REFERENCES "rep" ("id") ON DELETE CASCADE
);
CREATE INDEX "api_token_rep_id" ON "api_token" ("rep_id");
CREATE UNIQUE INDEX "api_token_hashed" ON "api_token" ("hashed");
CREATE TABLE "thread" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "owner_id" INTEGER NOT NULL,
    "conversation_id" TEXT NOT NULL,
    "split_from_id" INTEGER,
    "sharing" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "base_subject" TEXT NOT NULL,
    "started_at" INTEGER NOT NULL,
    "last_at" INTEGER NOT NULL,
    "waiting" TEXT,
    "waiting_reason" TEXT NOT NULL,
    "deleted_at" INTEGER,
    "message_count" INTEGER NOT NULL,
    "who" TEXT NOT NULL,
    "snippet" TEXT NOT NULL,
    "chips" TEXT NOT NULL,
    "linked" INTEGER NOT NULL,
    "has_attachment" INTEGER NOT NULL,
    "badge" TEXT NOT NULL,
    "unread" INTEGER NOT NULL,
    FOREIGN KEY ("owner_id") REFERENCES "rep" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("split_from_id") REFERENCES "thread" ("id") ON DELETE SET NULL
);
CREATE INDEX "thread_conversation_id" ON "thread" ("conversation_id");
CREATE INDEX "thread_split_from_id" ON "thread" ("split_from_id");
CREATE INDEX "thread_owner_id_last_at_id" ON "thread" ("owner_id", "last_at", "id");
CREATE INDEX "thread_sharing_last_at_id" ON "thread" ("sharing", "last_at", "id");
CREATE INDEX "thread_owner_id_base_subject" ON "thread" ("owner_id", "base_subject");
CREATE INDEX "thread_owner_id_waiting" ON "thread" ("owner_id", "waiting");
CREATE INDEX "thread_owner_id_unread" ON "thread" ("owner_id", "unread");
CREATE TABLE "message" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "inbound_id" INTEGER NOT NULL,
    "thread_id" INTEGER NOT NULL,
    "owner_id" INTEGER NOT NULL,
    "dedupe_key" TEXT NOT NULL,
    "message_id" TEXT,
    "from_name" TEXT,
    "from_address" TEXT NOT NULL,
    "date" INTEGER NOT NULL,
    "subject" TEXT NOT NULL,
    "text" TEXT NOT NULL,
    "safe_html" TEXT NOT NULL,
    "forward" TEXT,
    "checks" TEXT NOT NULL,
    "defects" TEXT NOT NULL,
    "decision" TEXT NOT NULL,
    "joined_by" TEXT NOT NULL,
    "fact" TEXT NOT NULL,
    "record_ids" TEXT NOT NULL,
    "sha256" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "deleted_at" INTEGER,
    "deleted_by" TEXT,
    FOREIGN KEY ("thread_id") REFERENCES "thread" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("owner_id") REFERENCES "rep" ("id") ON DELETE CASCADE
);
CREATE UNIQUE INDEX "message_inbound_id" ON "message" ("inbound_id");
CREATE INDEX "message_message_id" ON "message" ("message_id");
CREATE UNIQUE INDEX "message_owner_id_dedupe_key" ON "message" ("owner_id", "dedupe_key");
CREATE INDEX "message_thread_id_date" ON "message" ("thread_id", "date");
CREATE TABLE "attachment" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "message_id" INTEGER NOT NULL,
    "part" INTEGER NOT NULL,
    "filename" TEXT NOT NULL,
    "content_type" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "inline" INTEGER NOT NULL,
    "content_id" TEXT,
    "sha256" TEXT NOT NULL,
    "note" TEXT NOT NULL,
    "content" BLOB,
    FOREIGN KEY ("message_id") REFERENCES "message" ("id") ON DELETE CASCADE
);
CREATE INDEX "attachment_message_id" ON "attachment" ("message_id");
CREATE TABLE "audit" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "at" INTEGER NOT NULL,
    "who" TEXT NOT NULL,
    "act" TEXT NOT NULL,
    "about" TEXT NOT NULL,
    "facts" TEXT NOT NULL
);
CREATE TABLE "blocked_domain" (
    "domain" TEXT NOT NULL PRIMARY KEY,
    "added_by" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL
);
CREATE TABLE "organisation" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "external_id" TEXT,
    "name" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "deleted_at" INTEGER
);
CREATE UNIQUE INDEX "organisation_external_id" ON "organisation" ("external_id");
CREATE TABLE "record" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "kind" TEXT NOT NULL,
    "external_id" TEXT,
    "title" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "organisation_id" INTEGER,
    "owner_id" INTEGER,
    "connector" TEXT,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "closed_at" INTEGER,
    "last_activity_at" INTEGER,
    FOREIGN KEY ("organisation_id") REFERENCES "organisation" ("id") ON DELETE SET NULL,
    FOREIGN KEY ("owner_id") REFERENCES "rep" ("id") ON DELETE SET NULL
);
CREATE INDEX "record_organisation_id" ON "record" ("organisation_id");
CREATE INDEX "record_owner_id" ON "record" ("owner_id");
CREATE UNIQUE INDEX "record_kind_external_id" ON "record" ("kind", "external_id");
CREATE INDEX "record_kind_status" ON "record" ("kind", "status");
CREATE TABLE "candidate" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "thread_id" INTEGER NOT NULL,
    "record_id" INTEGER NOT NULL,
    "reason" TEXT NOT NULL,
    "params" TEXT NOT NULL,
    "offer" INTEGER NOT NULL,
    "rank" INTEGER NOT NULL,
    FOREIGN KEY ("thread_id") REFERENCES "thread" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("record_id") REFERENCES "record" ("id") ON DELETE CASCADE
);
CREATE INDEX "candidate_record_id" ON "candidate" ("record_id");
CREATE UNIQUE INDEX "candidate_thread_id_record_id" ON "candidate" ("thread_id", "record_id");
CREATE TABLE "contact" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "external_id" TEXT,
    "name" TEXT NOT NULL,
    "organisation_id" INTEGER,
    "merged_into_id" INTEGER,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "deleted_at" INTEGER,
    FOREIGN KEY ("organisation_id") REFERENCES "organisation" ("id") ON DELETE SET NULL,
    FOREIGN KEY ("merged_into_id") REFERENCES "contact" ("id") ON DELETE SET NULL
);
CREATE UNIQUE INDEX "contact_external_id" ON "contact" ("external_id");
CREATE INDEX "contact_organisation_id" ON "contact" ("organisation_id");
CREATE INDEX "contact_merged_into_id" ON "contact" ("merged_into_id");
CREATE TABLE "contact_address" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "address" TEXT NOT NULL,
    "contact_id" INTEGER NOT NULL,
    FOREIGN KEY ("contact_id") REFERENCES "contact" ("id") ON DELETE CASCADE
);
CREATE UNIQUE INDEX "contact_address_address" ON "contact_address" ("address");
CREATE INDEX "contact_address_contact_id" ON "contact_address" ("contact_id");
CREATE TABLE "drop_address" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "kind" TEXT NOT NULL,
    "lookup" TEXT NOT NULL,
    "sealed" TEXT NOT NULL,
    "record_id" INTEGER,
    "created_at" INTEGER NOT NULL,
    "retired_at" INTEGER,
    "works_until" INTEGER,
    FOREIGN KEY ("record_id") REFERENCES "record" ("id") ON DELETE CASCADE
);
CREATE UNIQUE INDEX "drop_address_lookup" ON "drop_address" ("lookup");
CREATE INDEX "drop_address_record_id" ON "drop_address" ("record_id");
CREATE TABLE "event" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "name" TEXT NOT NULL,
    "at" INTEGER NOT NULL,
    "facts" TEXT NOT NULL
);
CREATE TABLE "event_delivery" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "event_id" INTEGER NOT NULL,
    "sink" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL,
    "due_at" INTEGER,
    "done_at" INTEGER,
    "failed" TEXT,
    FOREIGN KEY ("event_id") REFERENCES "event" ("id") ON DELETE CASCADE
);
CREATE UNIQUE INDEX "event_delivery_event_id_sink" ON "event_delivery" ("event_id", "sink");
CREATE INDEX "event_delivery_sink_done_at" ON "event_delivery" ("sink", "done_at");
CREATE TABLE "lease" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "holder" TEXT NOT NULL,
    "until" INTEGER NOT NULL
);
CREATE TABLE "link" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "thread_id" INTEGER NOT NULL,
    "target" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "contact_id" INTEGER,
    "organisation_id" INTEGER,
    "record_id" INTEGER,
    "made_by" TEXT NOT NULL,
    "policy_version" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "params" TEXT NOT NULL,
    "message_id" INTEGER,
    "run_id" INTEGER,
    "created_at" INTEGER NOT NULL,
    "removed_at" INTEGER,
    "removed_by" TEXT,
    FOREIGN KEY ("thread_id") REFERENCES "thread" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("contact_id") REFERENCES "contact" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("organisation_id") REFERENCES "organisation" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("record_id") REFERENCES "record" ("id") ON DELETE CASCADE
);
CREATE INDEX "link_contact_id" ON "link" ("contact_id");
CREATE INDEX "link_organisation_id" ON "link" ("organisation_id");
CREATE INDEX "link_record_id" ON "link" ("record_id");
CREATE UNIQUE INDEX "link_thread_id_target" ON "link" ("thread_id", "target");
CREATE TABLE "never_log" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "pattern" TEXT NOT NULL,
    "added_by" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL
);
CREATE UNIQUE INDEX "never_log_pattern" ON "never_log" ("pattern");
CREATE TABLE "notice" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "inbound_id" INTEGER,
    "kind" TEXT NOT NULL,
    "address" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "body" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    "due_at" INTEGER,
    "attempts" INTEGER NOT NULL,
    "trouble" TEXT NOT NULL,
    "sent_at" INTEGER,
    "failed" TEXT
);
CREATE UNIQUE INDEX "notice_key" ON "notice" ("key");
CREATE UNIQUE INDEX "notice_inbound_id_kind" ON "notice" ("inbound_id", "kind");
CREATE INDEX "notice_address_kind" ON "notice" ("address", "kind");
CREATE INDEX "notice_sent_at_due_at" ON "notice" ("sent_at", "due_at");
CREATE TABLE "one_time_link" (
    "hashed" TEXT NOT NULL PRIMARY KEY,
    "purpose" TEXT NOT NULL,
    "rep_id" INTEGER,
    "facts" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    "used_at" INTEGER,
    FOREIGN KEY ("rep_id") REFERENCES "rep" ("id") ON DELETE CASCADE
);
CREATE INDEX "one_time_link_rep_id" ON "one_time_link" ("rep_id");
CREATE TABLE "organisation_domain" (
    "domain" TEXT NOT NULL PRIMARY KEY,
    "organisation_id" INTEGER NOT NULL,
    FOREIGN KEY ("organisation_id") REFERENCES "organisation" ("id") ON DELETE CASCADE
);
CREATE INDEX "organisation_domain_organisation_id" ON "organisation_domain" ("organisation_id");
CREATE TABLE "outcome" (
    "inbound_id" INTEGER NOT NULL PRIMARY KEY,
    "state" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "params" TEXT NOT NULL,
    "source" TEXT NOT NULL,
    "received_at" INTEGER NOT NULL,
    "decided_at" INTEGER NOT NULL,
    "mail_from" TEXT,
    "rcpt_to" TEXT NOT NULL,
    "sender" TEXT NOT NULL,
    "sender_domain" TEXT NOT NULL,
    "message_id" TEXT,
    "subject" TEXT NOT NULL,
    "decision" TEXT NOT NULL,
    "rep_id" INTEGER,
    "rule" TEXT NOT NULL,
    "thread_id" INTEGER,
    "duplicate_of" INTEGER,
    "size" INTEGER NOT NULL,
    FOREIGN KEY ("rep_id") REFERENCES "rep" ("id") ON DELETE SET NULL,
    FOREIGN KEY ("thread_id") REFERENCES "thread" ("id") ON DELETE SET NULL
);
CREATE INDEX "outcome_message_id" ON "outcome" ("message_id");
CREATE INDEX "outcome_thread_id" ON "outcome" ("thread_id");
CREATE INDEX "outcome_state_reason" ON "outcome" ("state", "reason");
CREATE INDEX "outcome_rep_id_inbound_id" ON "outcome" ("rep_id", "inbound_id");
CREATE INDEX "outcome_rep_id_state_reason" ON "outcome" ("rep_id", "state", "reason");
CREATE INDEX "outcome_sender_inbound_id" ON "outcome" ("sender", "inbound_id");
CREATE TABLE "participant" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "message_id" INTEGER NOT NULL,
    "role" TEXT NOT NULL,
    "address" TEXT NOT NULL,
    "name" TEXT,
    "contact_id" INTEGER,
    FOREIGN KEY ("message_id") REFERENCES "message" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("contact_id") REFERENCES "contact" ("id") ON DELETE SET NULL
);
CREATE INDEX "participant_message_id" ON "participant" ("message_id");
CREATE INDEX "participant_address" ON "participant" ("address");
CREATE INDEX "participant_contact_id" ON "participant" ("contact_id");
CREATE TABLE "plugin_state" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "enabled" INTEGER NOT NULL,
    "calls" INTEGER NOT NULL,
    "seconds" REAL NOT NULL,
    "last_error" TEXT NOT NULL,
    "last_error_at" INTEGER
);
CREATE TABLE "pulse" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "number" INTEGER NOT NULL
);
CREATE TABLE "record_contact" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "record_id" INTEGER NOT NULL,
    "contact_id" INTEGER NOT NULL,
    "added_at" INTEGER NOT NULL,
    "removed_at" INTEGER,
    FOREIGN KEY ("record_id") REFERENCES "record" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("contact_id") REFERENCES "contact" ("id") ON DELETE CASCADE
);
CREATE INDEX "record_contact_contact_id" ON "record_contact" ("contact_id");
CREATE UNIQUE INDEX "record_contact_record_id_contact_id" ON "record_contact" ("record_id", "contact_id");
CREATE TABLE "record_history" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "record_id" INTEGER NOT NULL,
    "status" TEXT NOT NULL,
    "valid_from" INTEGER NOT NULL,
    "learned_at" INTEGER NOT NULL,
    FOREIGN KEY ("record_id") REFERENCES "record" ("id") ON DELETE CASCADE
);
CREATE INDEX "record_history_record_id" ON "record_history" ("record_id");
CREATE TABLE "sender_address" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "rep_id" INTEGER NOT NULL,
    "address" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "verified_at" INTEGER,
    "connected_at" INTEGER,
    FOREIGN KEY ("rep_id") REFERENCES "rep" ("id") ON DELETE CASCADE
);
CREATE INDEX "sender_address_address" ON "sender_address" ("address");
CREATE UNIQUE INDEX "sender_address_rep_id_address" ON "sender_address" ("rep_id", "address");
CREATE TABLE "setting" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "value" TEXT NOT NULL
);
CREATE TABLE "shown_sender" (
    "rep_id" INTEGER NOT NULL,
    "address" TEXT NOT NULL,
    "created_at" INTEGER NOT NULL,
    PRIMARY KEY ("rep_id", "address"),
    FOREIGN KEY ("rep_id") REFERENCES "rep" ("id") ON DELETE CASCADE
);
CREATE TABLE "source_instance" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "kind" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "token" TEXT NOT NULL,
    "enabled" INTEGER NOT NULL,
    "settings" TEXT NOT NULL,
    "secrets" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "last_mail_at" INTEGER,
    "last_error" TEXT NOT NULL,
    "last_error_at" INTEGER,
    "created_at" INTEGER NOT NULL
);
CREATE UNIQUE INDEX "source_instance_name" ON "source_instance" ("name");
CREATE UNIQUE INDEX "source_instance_token" ON "source_instance" ("token");
CREATE TABLE "source_request" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "instance_id" INTEGER NOT NULL,
    "at" INTEGER NOT NULL,
    "status" INTEGER NOT NULL,
    "sentence" TEXT NOT NULL,
    "facts" TEXT NOT NULL,
    FOREIGN KEY ("instance_id") REFERENCES "source_instance" ("id") ON DELETE CASCADE
);
CREATE INDEX "source_request_instance_id" ON "source_request" ("instance_id");
CREATE TABLE "step_time" (
    "step" TEXT NOT NULL PRIMARY KEY,
    "number" INTEGER NOT NULL,
    "seconds" REAL NOT NULL
);
CREATE TABLE "team_address" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "address" TEXT NOT NULL,
    "rep_id" INTEGER NOT NULL,
    "connected_at" INTEGER NOT NULL,
    FOREIGN KEY ("rep_id") REFERENCES "rep" ("id") ON DELETE CASCADE
);
CREATE UNIQUE INDEX "team_address_address" ON "team_address" ("address");
CREATE INDEX "team_address_rep_id" ON "team_address" ("rep_id");
CREATE TABLE "thread_id" (
    "owner_id" INTEGER NOT NULL,
    "message_id" TEXT NOT NULL,
    "thread_id" INTEGER NOT NULL,
    PRIMARY KEY ("owner_id", "message_id"),
    FOREIGN KEY ("owner_id") REFERENCES "rep" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("thread_id") REFERENCES "thread" ("id") ON DELETE CASCADE
);
CREATE INDEX "thread_id_message_id" ON "thread_id" ("message_id");
CREATE INDEX "thread_id_thread_id" ON "thread_id" ("thread_id");
CREATE TABLE "thread_state" (
    "rep_id" INTEGER NOT NULL,
    "thread_id" INTEGER NOT NULL,
    "seen_at" INTEGER,
    "archived_at" INTEGER,
    PRIMARY KEY ("rep_id", "thread_id"),
    FOREIGN KEY ("rep_id") REFERENCES "rep" ("id") ON DELETE CASCADE,
    FOREIGN KEY ("thread_id") REFERENCES "thread" ("id") ON DELETE CASCADE
);
CREATE INDEX "thread_state_thread_id" ON "thread_state" ("thread_id");
CREATE TABLE "throttle" (
    "key" TEXT NOT NULL PRIMARY KEY,
    "tokens" REAL NOT NULL,
    "at" INTEGER NOT NULL
);
CREATE TABLE "trace" (
    "inbound_id" INTEGER NOT NULL PRIMARY KEY,
    "entries" TEXT NOT NULL,
    "case" TEXT
);
CREATE TABLE "undo" (
    "token" TEXT NOT NULL PRIMARY KEY,
    "rep_id" INTEGER NOT NULL,
    "act" TEXT NOT NULL,
    "facts" TEXT NOT NULL,
    "at" INTEGER NOT NULL,
    FOREIGN KEY ("rep_id") REFERENCES "rep" ("id") ON DELETE CASCADE
);
CREATE INDEX "undo_rep_id" ON "undo" ("rep_id");
