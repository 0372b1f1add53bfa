-- Reports that come in another order, a broker for each center, who was told of silent gateways. The same SQL as in 0001.

-- Reports that came before the one before them, as they came: they wait for it here, unacknowledged to their gateway.
CREATE TABLE early_reports (
    eui TEXT NOT NULL REFERENCES gateways (eui) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    number BIGINT NOT NULL,
    -- The number of the one before it.
    after_number BIGINT NOT NULL,
    report TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (eui, stream, number)
);
CREATE INDEX early_reports_by_age ON early_reports (received_at);

-- 1: gateways are connected to this center's own broker, and to no other center.
ALTER TABLE centers ADD COLUMN own_broker BIGINT NOT NULL DEFAULT 0;

-- When webhooks were told that nothing comes from it any more, until they are told that it is back.
ALTER TABLE gateways ADD COLUMN alerted_at BIGINT;
CREATE INDEX gateways_alerted ON gateways (eui) WHERE alerted_at IS NOT NULL;
