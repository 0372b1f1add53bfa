-- Cancelling, silence after `received`, and bounds on what one gateway can fill. The same SQL as in 0001.

-- When an operator asked for the end of the command; kept afterwards.
ALTER TABLE commands ADD COLUMN cancel_requested_at BIGINT;

-- When the gateway's next word about the command should have come; NULL while none is owed: not received yet, or ended.
ALTER TABLE commands ADD COLUMN overdue_at BIGINT;

-- Commands that are under way already: 26 hours after they expire, the longest job and two telemetry intervals.
UPDATE commands SET overdue_at = expires_at + 93600
    WHERE delivery = 'received' AND outcome IN ('received', 'accepted', 'running', 'confirming');

CREATE INDEX commands_to_cancel ON commands (eui) WHERE cancel_requested_at IS NOT NULL;
CREATE INDEX commands_by_overdue ON commands (overdue_at) WHERE overdue_at IS NOT NULL;

-- How many reports are kept of a gateway, and their characters. They may say too much, until old ones are removed, and never too little.
ALTER TABLE gateways ADD COLUMN reports_kept BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gateways ADD COLUMN reports_size BIGINT NOT NULL DEFAULT 0;
UPDATE gateways SET
    reports_kept = (SELECT COUNT(*) FROM reports WHERE reports.eui = gateways.eui),
    reports_size = (SELECT COALESCE(SUM(LENGTH(reports.report)), 0) FROM reports WHERE reports.eui = gateways.eui);

-- When a stream was last heard of, so that old streams can go.
ALTER TABLE report_positions ADD COLUMN heard_at BIGINT NOT NULL DEFAULT 0;
