-- Several centers on one database, and what follows a restored backup. The same SQL as in 0001.

-- The centers that serve, each with a sign of life that it renews.
CREATE TABLE centers (
    center_id TEXT NOT NULL PRIMARY KEY,
    -- A digest of the settings that all must have alike.
    settings TEXT NOT NULL,
    beat BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- What all centers of this database share; whoever comes first makes it.
CREATE TABLE center_settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- 1: a backup was restored, and the gateway may have been told that reports are kept which it did not hold. Its next report is taken from
-- wherever it counts; then it is 0.
ALTER TABLE gateways ADD COLUMN reports_lost BIGINT NOT NULL DEFAULT 0;
