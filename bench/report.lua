-- What each script prints at its end: "RESULT requests duration_us errors", then "LATENCY us count" for
-- each latency seen.
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout))
  for i = 1, #latency do
    local us, times = latency(i)
    io.write(string.format("LATENCY %d %d\n", us, times))
  end
end
