-- Where a gateway stands, as an operator says it: latitude and longitude in degrees, with a comma between.
ALTER TABLE gateways ADD COLUMN location TEXT;
