-- What is old is found without reading all reports while others wait. The same SQL as in 0001.
CREATE INDEX reports_by_age ON reports (received_at);
