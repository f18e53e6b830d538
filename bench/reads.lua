-- Linearizable reads of one product's stock. Prints what report.lua says.
function request()
  return wrk.format("GET", "/v1/products/sneaker")
end
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")
