-- Customers, their users, who may do what, and what was done. The same SQL as in 0001.

CREATE TABLE customers (
    customer_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- All that is there already belongs to it, and gateways first heard of.
INSERT INTO customers (customer_id, name, description, created_at)
    VALUES ('00000000-0000-7000-8000-000000000001', 'main', '', 0);

-- No reference: SQLite adds no column with both a reference and a value. A customer with gateways is not removed.
ALTER TABLE gateways ADD COLUMN customer_id TEXT NOT NULL DEFAULT '00000000-0000-7000-8000-000000000001';
CREATE INDEX gateways_by_customer ON gateways (customer_id, eui);

-- A group's name is its customer's business: the key is an id. SQLite changes no primary key, so the tables are made anew.
CREATE TABLE old_groups AS SELECT name, description FROM gateway_groups;
CREATE TABLE old_members AS SELECT group_name, eui FROM group_members;
DROP TABLE group_members;
DROP TABLE gateway_groups;

CREATE TABLE gateway_groups (
    group_id TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers (customer_id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (customer_id, name)
);
CREATE INDEX gateway_groups_by_name ON gateway_groups (name);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES gateway_groups (group_id) ON DELETE CASCADE,
    eui TEXT NOT NULL REFERENCES gateways (eui) ON DELETE CASCADE,
    PRIMARY KEY (group_id, eui)
);
CREATE INDEX group_members_by_eui ON group_members (eui);

INSERT INTO gateway_groups (group_id, customer_id, name, description, created_at)
    SELECT 'group-' || name, '00000000-0000-7000-8000-000000000001', name, description, 0 FROM old_groups;
INSERT INTO group_members (group_id, eui) SELECT 'group-' || group_name, eui FROM old_members;
DROP TABLE old_members;
DROP TABLE old_groups;

-- Whose update it is, its group (named and not referenced: the history outlives it), and who sent it: the user, and his name then.
ALTER TABLE updates ADD COLUMN customer_id TEXT NOT NULL DEFAULT '00000000-0000-7000-8000-000000000001';
ALTER TABLE updates ADD COLUMN group_id TEXT;
ALTER TABLE updates ADD COLUMN created_by_id TEXT;
ALTER TABLE updates ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
UPDATE updates SET group_id = 'group-' || group_name WHERE by_hand = 0;
DROP INDEX updates_by_group;
CREATE INDEX updates_by_group ON updates (group_id, update_id);
CREATE INDEX updates_by_customer ON updates (customer_id, update_id);

-- Whose Magic Link it is: several customers may have put the same bytes here.
CREATE TABLE magic_link_customers (
    link TEXT NOT NULL REFERENCES magic_links (digest) ON DELETE CASCADE,
    customer_id TEXT NOT NULL REFERENCES customers (customer_id),
    PRIMARY KEY (link, customer_id)
);
CREATE INDEX magic_link_customers_by_customer ON magic_link_customers (customer_id);
INSERT INTO magic_link_customers (link, customer_id)
    SELECT digest, '00000000-0000-7000-8000-000000000001' FROM magic_links;

-- `login` is in lower case. Of the password, the set-up link, sessions and tokens only what proves them is kept.
CREATE TABLE users (
    user_id TEXT NOT NULL PRIMARY KEY,
    login TEXT NOT NULL UNIQUE,
    full_name TEXT NOT NULL,
    password TEXT,
    must_change BIGINT NOT NULL DEFAULT 0,
    setup_digest TEXT UNIQUE,
    setup_expires_at BIGINT,
    disabled_at BIGINT,
    created_at BIGINT NOT NULL,
    last_login_at BIGINT
);

-- `customer_id` is `*` for all customers, also those that are made later.
CREATE TABLE user_roles (
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    customer_id TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (user_id, customer_id, role)
);
CREATE INDEX user_roles_by_customer ON user_roles (customer_id);

CREATE TABLE sessions (
    digest TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    csrf TEXT NOT NULL,
    address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_seen ON sessions (seen_at);

CREATE TABLE api_tokens (
    token_id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX api_tokens_by_user ON api_tokens (user_id);

-- Nothing is referenced: what was done stays said, whatever is removed later. `audit_id` sorts by time.
CREATE TABLE audit (
    audit_id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    user_id TEXT,
    user_name TEXT NOT NULL,
    address TEXT,
    action TEXT NOT NULL,
    customer_id TEXT,
    subject TEXT NOT NULL,
    result TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_customer ON audit (customer_id, audit_id);
CREATE INDEX audit_by_user ON audit (user_id, audit_id);
