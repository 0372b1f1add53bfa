-- Lists of 100,000 gateways, their history, labels, rules of groups. The same SQL as in 0001.

-- What is long, and written often or hardly ever, is not in the rows that lists go through.
CREATE TABLE gateway_vitals (
    eui TEXT NOT NULL PRIMARY KEY REFERENCES gateways (eui) ON DELETE CASCADE,
    telemetry TEXT NOT NULL,
    -- The vitals of each hour of the last week, at most 2.5 KB; see gateway/history.rs.
    hours TEXT NOT NULL
);
INSERT INTO gateway_vitals (eui, telemetry, hours) SELECT eui, telemetry, '' FROM gateways WHERE telemetry IS NOT NULL;
ALTER TABLE gateways DROP COLUMN telemetry;

CREATE TABLE gateway_packages (
    eui TEXT NOT NULL PRIMARY KEY REFERENCES gateways (eui) ON DELETE CASCADE,
    packages TEXT NOT NULL
);
INSERT INTO gateway_packages (eui, packages) SELECT eui, packages FROM gateways WHERE packages IS NOT NULL;
ALTER TABLE gateways DROP COLUMN packages;

-- The vitals of each day of the last year, at most 11 KB of a gateway.
CREATE TABLE gateway_days (
    eui TEXT NOT NULL PRIMARY KEY REFERENCES gateways (eui) ON DELETE CASCADE,
    days TEXT NOT NULL
);

CREATE TABLE gateway_labels (
    eui TEXT NOT NULL REFERENCES gateways (eui) ON DELETE CASCADE,
    label TEXT NOT NULL,
    PRIMARY KEY (eui, label)
);
CREATE INDEX gateway_labels_by_label ON gateway_labels (label, eui);

-- The center makes these keys, also of the gateways that are there: see gateway/search.rs. Empty: not made yet, or nothing is known.
ALTER TABLE gateways ADD COLUMN search_text TEXT NOT NULL DEFAULT '';
ALTER TABLE gateways ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
ALTER TABLE gateways ADD COLUMN keros_key TEXT NOT NULL DEFAULT '';
-- Names of the vitals that were worth a look in the last telemetry, with commas between.
ALTER TABLE gateways ADD COLUMN warnings TEXT NOT NULL DEFAULT '';
-- When an operator took it out of service.
ALTER TABLE gateways ADD COLUMN retired_at BIGINT;

CREATE INDEX gateways_by_name ON gateways (name_key, eui);
CREATE INDEX gateways_by_keros ON gateways (keros_key, eui);
-- It has all that the status follows from, so that counting goes through it and not through the rows.
CREATE INDEX gateways_by_telemetry ON gateways
    ((COALESCE(last_telemetry_at, 0)), eui, online, warnings, customer_id, retired_at);

-- The rule of a dynamic group, as it was written: see gateway/rule.rs. Alerting: 1 is on.
ALTER TABLE gateway_groups ADD COLUMN rule TEXT;
ALTER TABLE gateway_groups ADD COLUMN alerting BIGINT NOT NULL DEFAULT 0;
