-- One buyer a request, each with a user id and a key of its own. `SALT` tells runs apart.
-- Prints "RESULT requests duration_us errors", then "LATENCY us count" for each latency seen.
local salt = os.getenv("SALT") or "0"
local thread_count = 0
function setup(thread)
  thread_count = thread_count + 1
  thread:set("number", thread_count)
end
function init(args)
  count = 0
  prefix = salt .. "-" .. number .. "-"
end
function request()
  count = count + 1
  local id = prefix .. count
  local headers = { ["Content-Type"] = "application/json", ["Idempotency-Key"] = id }
  local body = '{"product_id":"sneaker","user_id":"u-' .. id .. '","quantity":1}'
  return wrk.format("POST", "/v1/buys", headers, body)
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout))
  for i = 1, #latency do
    local us, times = latency(i)
    io.write(string.format("LATENCY %d %d\n", us, times))
  end
end
