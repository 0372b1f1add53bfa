-- How gateways join: tokens, each good once, and the certificates that were issued. The same SQL as in 0001.

-- Of a token only its digest is kept. `request_key` is the point of the first key that asked with it.
CREATE TABLE enrolments (
    token_digest TEXT NOT NULL PRIMARY KEY,
    eui TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    request_key TEXT,
    issued_count BIGINT NOT NULL DEFAULT 0,
    confirmed_at BIGINT,
    cancelled_at BIGINT
);
CREATE INDEX enrolments_by_eui ON enrolments (eui);

CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    eui TEXT NOT NULL,
    request_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    pem TEXT NOT NULL
);
CREATE INDEX certificates_by_eui ON certificates (eui);
