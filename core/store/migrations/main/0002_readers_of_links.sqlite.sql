ALTER TABLE "link" ADD COLUMN "reader" INTEGER NOT NULL DEFAULT 0;
UPDATE "link" SET "reader" = (SELECT CASE WHEN t."sharing" = 'company' THEN 0 ELSE t."owner_id" END FROM "thread" t WHERE t."id" = "link"."thread_id");
DROP INDEX "link_contact_id";
DROP INDEX "link_organisation_id";
DROP INDEX "link_record_id";
CREATE INDEX "link_contact_id_reader" ON "link" ("contact_id", "reader") WHERE ("contact_id" IS NOT NULL);
CREATE INDEX "link_organisation_id_reader" ON "link" ("organisation_id", "reader") WHERE ("organisation_id" IS NOT NULL);
CREATE INDEX "link_record_id_reader" ON "link" ("record_id", "reader") WHERE ("record_id" IS NOT NULL);
