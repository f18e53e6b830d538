-- Calls of SIZE buys each, all with users and keys of their own, over PRODUCTS products (1: the
-- sneaker). `SALT` tells runs apart. Prints what report.lua says.
local salt = os.getenv("SALT") or "0"
local size = tonumber(os.getenv("SIZE") or "5000")
local products = tonumber(os.getenv("PRODUCTS") or "1")
local thread_count = 0
function setup(thread)
  thread_count = thread_count + 1
  thread:set("number", thread_count)
end
function init(args)
  count = 0
  prefix = salt .. "-" .. number .. "-"
end
local headers = { ["Content-Type"] = "application/json" }
function request()
  local items = {}
  for at = 1, size do
    count = count + 1
    local id = prefix .. count
    local product = products == 1 and "sneaker" or "p" .. (count * 7919 % products)
    items[at] = '{"request_id":"' .. id .. '","product_id":"' .. product .. '","user_id":"u-' .. id .. '"}'
  end
  return wrk.format("POST", "/v1/buys/batch", headers, "[" .. table.concat(items, ",") .. "]")
end
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")
