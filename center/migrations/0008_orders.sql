-- When commands are handed out, updates for one gateway, updates that follow others, webhooks. The same SQL as in 0001.

-- Not before, window, stages, as JSON; NULL: at once.
ALTER TABLE updates ADD COLUMN plan TEXT;
-- The one gateway, when it was sent to a gateway and not to a group.
ALTER TABLE updates ADD COLUMN eui TEXT;

-- A roll-out in stages: commands up to this stage are handed out.
ALTER TABLE updates ADD COLUMN stage BIGINT NOT NULL DEFAULT 0;
ALTER TABLE updates ADD COLUMN last_stage BIGINT NOT NULL DEFAULT 0;
ALTER TABLE updates ADD COLUMN stage_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE updates ADD COLUMN halted_at BIGINT;
ALTER TABLE updates ADD COLUMN halted_why TEXT;
ALTER TABLE updates ADD COLUMN forgiven BIGINT NOT NULL DEFAULT 0;
ALTER TABLE commands ADD COLUMN stage BIGINT NOT NULL DEFAULT 0;

-- The update that this one repeats for some gateways, or whose dry run it carries out: `retry`, `real`.
ALTER TABLE updates ADD COLUMN follows TEXT;
ALTER TABLE updates ADD COLUMN follows_as TEXT;
CREATE INDEX updates_by_follows ON updates (follows) WHERE follows IS NOT NULL;
-- A dry run that comes first: how the real one is to be done, as JSON.
ALTER TABLE updates ADD COLUMN real_order TEXT;

-- When it was first seen that a gateway did not succeed, and that nothing more is expected; each is told once.
ALTER TABLE updates ADD COLUMN failed_at BIGINT;
ALTER TABLE updates ADD COLUMN ended_at BIGINT;
CREATE INDEX updates_open ON updates (update_id) WHERE ended_at IS NULL;

CREATE TABLE webhooks (
    webhook_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    events TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX webhooks_by_customer ON webhooks (customer_id);

-- Messages: `waiting`, `taken`, `given_up`, `left_out` (too many waited).
CREATE TABLE webhook_messages (
    message_id TEXT NOT NULL PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT,
    created_at BIGINT NOT NULL,
    tried_at BIGINT,
    http_status BIGINT,
    error TEXT
);
CREATE INDEX webhook_messages_due ON webhook_messages (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_messages_by_webhook ON webhook_messages (webhook_id, message_id);
