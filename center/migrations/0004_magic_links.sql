-- Magic Links in the center's own store. The same SQL as in 0001; their bytes are files.

CREATE TABLE magic_links (
    digest TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    keros TEXT,
    models TEXT NOT NULL,
    expires_at BIGINT,
    playbook TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    file_count BIGINT NOT NULL,
    gateway_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- What each link names: its manifest, its config, its files, each once.
CREATE TABLE magic_link_blobs (
    link TEXT NOT NULL REFERENCES magic_links (digest) ON DELETE CASCADE,
    blob TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    PRIMARY KEY (link, blob)
);
CREATE INDEX magic_link_blobs_by_blob ON magic_link_blobs (blob);

-- The link that an update runs, wherever it is fetched from. It is named, not referenced: the history outlives it.
ALTER TABLE updates ADD COLUMN link_digest TEXT;
CREATE INDEX updates_by_link ON updates (link_digest) WHERE link_digest IS NOT NULL;

-- Its one command is carried to the gateway by a person, and never sent.
ALTER TABLE updates ADD COLUMN by_hand BIGINT NOT NULL DEFAULT 0;
