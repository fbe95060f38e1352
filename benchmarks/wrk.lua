-- wrk -s wrk.lua URL -- COUNT: the COUNT objects URL00000, URL00001 ..., over and over; prints one line of JSON.

local paths, count, turn = {}, 0, 0

function init(arguments)
  count = tonumber(arguments[1])
  for index = 0, count - 1 do
    paths[index] = wrk.format("GET", string.format("%s%05d", wrk.path, index))
  end
end

function request()
  local path = paths[turn]
  turn = (turn + 1) % count
  return path
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"seconds": %.6f, "requests": %d, "bytes": %.0f, "errors": %d}\n',
    summary.duration / 1e6, summary.requests, summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
