-- The same request again and again; or, with a file of session cookies, each request with one of them: at `random`, or each of them
-- `once`, in their order and from one thread.
--   wrk ... -s wrk.lua URL [-- FILE random|once]

local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  if not args[1] then return end
  local requests = formatted(args[1])
  if args[2] == "random" then
    math.randomseed(number)
    function request() return requests[math.random(#requests)] end
  else
    each_once(requests)
  end
end

function formatted(file)
  local requests, other_cookies = {}, wrk.headers["Cookie"]
  for line in io.lines(file) do
    wrk.headers["Cookie"] = other_cookies .. line
    requests[#requests + 1] = wrk.format()
  end
  return requests
end

function each_once(requests)
  local sent, answered = 0, 0
  function request()
    sent = sent + 1
    return requests[(sent - 1) % #requests + 1]
  end
  function response(status)
    answered = answered + 1
    -- Stopping the thread would leave wrk asleep to the end of its time.
    if status ~= 200 then os.exit(1) end
    if answered == #requests then os.exit(0) end
  end
end

-- Requests, microseconds, p50 and p99 in microseconds, errors. A redirect is no error to wrk, but it has no body of 1 KiB.
function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  if summary.bytes < summary.requests * 1024 then errors = errors + 1 end
  local p50, p99 = latency:percentile(50), latency:percentile(99)
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, p50, p99, errors))
end
