-- Asks Verdict before a request goes to its service. It uses OpenResty's own API alone, so it needs nothing beside Kong.
-- Whatever goes wrong is 503: nothing goes forward without an answer 200.

-- After the plugins that authenticate (1000 and more) and those that limit rates (900 and more): a denial costs a question.
local Verdict = { PRIORITY = 890, VERSION = "0.1.0" }

local HEAD_BYTES = 16384

-- One line of the answer, without its end.
local function line_of(socket)
  local line, fault = socket:receive("*l")
  if not line then return nil, fault end
  if #line > HEAD_BYTES then return nil, "a line is too long" end
  return (line:gsub("\r$", ""))
end

-- Status and headers of Verdict's answer; nil and why not.
local function ask(conf, headers)
  local socket = ngx.socket.tcp()
  socket:settimeouts(conf.connect_timeout, conf.read_timeout, conf.read_timeout)
  local ok, fault = socket:connect(conf.host, conf.port, { pool = "verdict:" .. conf.host .. ":" .. conf.port .. ":" .. tostring(conf.tls) })
  if not ok then return nil, fault end
  if conf.tls and socket:getreusedtimes() == 0 then
    ok, fault = socket:sslhandshake(nil, conf.host, conf.tls_verify ~= false)
    if not ok then return nil, fault end
  end
  local lines = { "GET " .. conf.path .. " HTTP/1.1", "Host: " .. conf.host .. ":" .. conf.port }
  for name, value in pairs(headers) do
    -- The gateway's own parser lets no line feed through; this is for those who set headers by other plugins.
    if value:find("[\r\n%z]") then return nil, "a header holds a line feed" end
    lines[#lines + 1] = name .. ": " .. value
  end
  ok, fault = socket:send(table.concat(lines, "\r\n") .. "\r\n\r\n")
  if not ok then return nil, fault end
  local first
  first, fault = line_of(socket)
  if not first then return nil, fault end
  local status = tonumber(first:match("^HTTP/1%.1 (%d%d%d)"))
  if not status then return nil, "this is no HTTP" end
  local answer, length = {}, 0
  repeat
    local line
    line, fault = line_of(socket)
    if not line then return nil, fault end
    length = length + #line
    if length > HEAD_BYTES then return nil, "the answer is too long" end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    if name then answer[name:lower()] = value end
  until line == ""
  -- A body is read only where its length is known; otherwise the connection is not used again.
  local size = tonumber(answer["content-length"])
  local keeps = size ~= nil and size <= HEAD_BYTES and (answer["connection"] or ""):lower() ~= "close"
  if keeps and size > 0 then keeps = socket:receive(size) ~= nil end
  if keeps then socket:setkeepalive(60000, 32) else socket:close() end
  return status, answer
end

-- The only value of a header; nil and true if it comes more than once.
local function only(headers, name)
  local value = headers[name]
  if type(value) == "table" then return nil, true end
  return value
end

local function refuse(status, headers)
  ngx.status = status
  for name, value in pairs(headers) do ngx.header[name] = value end
  ngx.header["Cache-Control"] = "no-store"
  ngx.header["Content-Length"] = 0
  return ngx.exit(status)
end

function Verdict:access(conf)
  local of_client = ngx.req.get_headers(0)
  local authorization, is_twice = only(of_client, "authorization")
  if is_twice then return refuse(400, {}) end
  local headers = {
    ["X-API-Key"] = conf.api_key,
    ["X-Forwarded-Method"] = ngx.req.get_method(),
    ["X-Forwarded-Uri"] = ngx.var.request_uri,
    ["X-Forwarded-Host"] = ngx.var.host,
    ["X-Forwarded-Proto"] = ngx.var.scheme,
    ["X-Forwarded-For"] = ngx.var.remote_addr,
    ["Authorization"] = authorization,
  }
  local status, answer = ask(conf, headers)
  if status == 401 then return refuse(401, { ["WWW-Authenticate"] = answer["www-authenticate"] }) end
  if status == 403 then return refuse(403, {}) end
  if status ~= 200 then
    ngx.log(ngx.ERR, "Verdict did not answer: ", status or answer)
    return refuse(503, { ["Retry-After"] = "1" })
  end
  ngx.req.set_header("X-Verdict-Subject", answer["x-verdict-subject"])
  ngx.req.set_header("X-Verdict-Decision-Id", answer["x-verdict-decision-id"])
  ngx.req.clear_header("X-Forwarded-User")
end

return Verdict
