-- Requests with an Idempotency-Key, for a day. `attempt` is the one try that may still do it; `thing` is what it did, kept in the same
-- transaction; the answer comes after it, and is missing when the center ended between the two.
CREATE TABLE idempotency_keys (
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request TEXT NOT NULL,
    attempt TEXT NOT NULL,
    begun_at BIGINT NOT NULL,
    thing TEXT,
    status BIGINT,
    place TEXT,
    answer TEXT,
    PRIMARY KEY (caller, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (begun_at);
