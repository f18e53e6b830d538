-- One buyer a request, each with a user id and a key of its own. `SALT` tells runs apart.
-- Prints what report.lua says.
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
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")
