-- Members of great groups, and what an update to them would come to. The same SQL as in 0001.

-- Whether a gateway is still its customer's and in service is read from it alone, for each member of a group.
DROP INDEX gateways_by_customer;
CREATE INDEX gateways_by_customer ON gateways (customer_id, eui, retired_at);

-- Gateways that are alike in all that decides whether they take an update stand together in it; rules read it too. Nothing in it changes by telemetry
-- as such.
CREATE INDEX gateways_by_kind ON gateways (customer_id, codename, keros_version, agent_version, keros_key, eui) WHERE retired_at IS NULL;
