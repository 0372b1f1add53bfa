-- Portable SQL for SQLite and PostgreSQL: TEXT and BIGINT only; times are seconds since 1970 by the center's clock; yes is 1.

CREATE TABLE gateways (
    eui TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    description TEXT NOT NULL,
    declared BIGINT NOT NULL,
    online BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_telemetry_at BIGINT,
    telemetry TEXT,
    codename TEXT,
    keros_version TEXT,
    agent_version TEXT,
    packages_digest TEXT,
    packages TEXT,
    -- The stream of the last report heard of; its position is in report_positions.
    report_stream TEXT
);

-- "group" is a word of SQL.
CREATE TABLE gateway_groups (
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT NOT NULL
);

CREATE TABLE group_members (
    group_name TEXT NOT NULL REFERENCES gateway_groups (name) ON DELETE CASCADE,
    eui TEXT NOT NULL REFERENCES gateways (eui) ON DELETE CASCADE,
    PRIMARY KEY (group_name, eui)
);
CREATE INDEX group_members_by_eui ON group_members (eui);

-- The group is named, not referenced: the history outlives it.
CREATE TABLE updates (
    update_id TEXT NOT NULL PRIMARY KEY,
    group_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    job TEXT NOT NULL,
    limits TEXT NOT NULL,
    options TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX updates_by_group ON updates (group_name);

-- One row is one delivery. The envelope is not kept: it follows from this row, its update and the key.
CREATE TABLE commands (
    command_id TEXT NOT NULL PRIMARY KEY,
    update_id TEXT NOT NULL REFERENCES updates (update_id),
    eui TEXT NOT NULL REFERENCES gateways (eui),
    expires_at BIGINT NOT NULL,
    delivery TEXT NOT NULL,
    times_sent BIGINT NOT NULL,
    outcome TEXT,
    outcome_json TEXT,
    changed_at BIGINT NOT NULL,
    UNIQUE (update_id, eui)
);
CREATE INDEX commands_by_gateway ON commands (eui, delivery);
CREATE INDEX commands_by_expiry ON commands (delivery, expires_at);

-- Every report as it came, also those that change nothing.
CREATE TABLE reports (
    eui TEXT NOT NULL REFERENCES gateways (eui),
    stream TEXT NOT NULL,
    number BIGINT NOT NULL,
    command_id TEXT NOT NULL,
    status TEXT NOT NULL,
    report TEXT NOT NULL,
    note TEXT,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (eui, stream, number)
);
CREATE INDEX reports_by_command ON reports (command_id);

CREATE TABLE report_positions (
    eui TEXT NOT NULL REFERENCES gateways (eui),
    stream TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (eui, stream)
);
