-- Asks a verifier whether a request may pass, and answers requests that are refused.

local socket = 'unix@/run/haproxy/gatepass.sock'
local timeout_ms = 4000

-- Headers that a verifier sets, and headers that a refusal passes on.
local identity = { 'x-auth-subject', 'x-auth-session', 'x-auth-scope', 'x-auth-client' }
local handed_on = { 'www-authenticate', 'retry-after', 'content-type', 'cache-control' }
local refusals = { [401] = true, [403] = true, [503] = true }

-- Joins all values of a header; nil if there is none. HAProxy counts the values from 0.
local function value_of(headers, name)
  local values = headers and headers[name]
  if values == nil then return nil end
  local all = {}
  for index = 0, #values do all[#all + 1] = values[index] end
  return table.concat(all, ', ')
end

-- The verifier gets only the token of the request, and the method and address that a DPoP proof
-- must name.
local function headers_for_verifier(txn)
  local got = txn.http:req_get_headers()
  local said = {
    ['authorization'] = value_of(got, 'authorization'),
    ['dpop'] = value_of(got, 'dpop'),
    ['x-forwarded-method'] = txn.sf:method(),
    ['x-forwarded-proto'] = value_of(got, 'x-forwarded-proto'),
    ['x-forwarded-host'] = value_of(got, 'host'),
    ['x-forwarded-uri'] = txn.sf:pathq(),
  }
  local headers = {}
  for name, value in pairs(said) do headers[name] = { value } end
  return headers
end

local function refuse(txn, status, answer)
  local reply = txn:reply({ status = status })
  for _, name in ipairs(handed_on) do
    local value = value_of(answer.headers, name)
    if value ~= nil then reply:add_header(name, value) end
  end
  if status == 503 and value_of(answer.headers, 'retry-after') == nil then
    reply:add_header('retry-after', '5')
  end
  if refusals[answer.status] then reply:set_body(answer.body or '') end
  txn:done(reply)
end

-- Returns whether the request has the headers. HAProxy says nothing if its buffer has no room for one,
-- so a client with long headers could choose which of these the application receives.
local function set_identity(txn, from_verifier)
  for _, name in ipairs(identity) do
    txn.http:req_set_header(name, value_of(from_verifier, name) or '')
  end
  local sent = txn.http:req_get_headers()
  for _, name in ipairs(identity) do
    if value_of(sent, name) ~= (value_of(from_verifier, name) or '') then return false end
  end
  return true
end

core.register_action('gatepass', { 'http-req' }, function(txn)
  local answer = core.httpclient():get({
    url = 'http://gatepass/verify?scope=' .. (txn:get_var('txn.scope') or ''),
    dst = socket,
    headers = headers_for_verifier(txn),
    timeout = timeout_ms,
  })
  if answer.status ~= 200 then
    return refuse(txn, refusals[answer.status] and answer.status or 503, answer)
  end
  if not set_identity(txn, answer.headers) then
    return txn:done(txn:reply({ status = 431 }))
  end
  txn:set_var('txn.gatepass', 'accepted')
end)
