-- What dry runs would change, and the lines of great updates. The same SQL as in 0001.

-- Each text once for all gateways of an update on which the same would happen; it goes with its update.
CREATE TABLE differences (
    update_id TEXT NOT NULL REFERENCES updates (update_id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    differences TEXT NOT NULL,
    PRIMARY KEY (update_id, digest)
);
ALTER TABLE commands ADD COLUMN differences_digest TEXT;
CREATE INDEX commands_by_differences ON commands (update_id, differences_digest, eui)
    WHERE differences_digest IS NOT NULL;

-- Counts are read from the first alone; a page of lines begins where the last one ended.
CREATE INDEX commands_by_status ON commands (update_id, delivery, outcome, overdue_at, eui);
CREATE INDEX commands_by_outcome ON commands (update_id, outcome, eui);
