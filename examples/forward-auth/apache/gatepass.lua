-- Asks a verifier whether a request may pass. Needs LuaSocket (Debian: lua-socket).

local http = require 'socket.http'
local ltn12 = require 'ltn12'

local verifiers = { 'verifier-1:4100', 'verifier-2:4100' }
-- Timeout in seconds of each step, such as connecting or reading the answer.
http.TIMEOUT = 2

local identity = { 'X-Auth-Subject', 'X-Auth-Session', 'X-Auth-Scope', 'X-Auth-Client' }
local refusals = { [401] = true, [403] = true, [503] = true }

-- Headers that only a proxy may set. Many applications read X_Auth_Subject as X-Auth-Subject, so
-- names with other characters than letters, digits and hyphens are removed too.
local kept_out = {
  '[^a-z0-9-]', '^x%-auth%-', '^x%-forwarded%-', '^x%-original%-',
  '^x%-rewrite%-url$', '^x%-real%-ip$', '^forwarded$',
}

-- Apache matches locations against the normalized path, and the application could read the path
-- differently. Paths that are not normalized are refused: docs/forward-auth.md#paths.
local normal = '^/([!$&-:=@-Z_a-z~]|%(2[0-246-9A-Ca-c]|3[AC-Eac-e]|[46]0|5[BDEbde]|7[B-Db-d]))*([?]|$)'
local detour = '^[^?]*(//|(/[.]+|%20)(/|[?]|$))'

local function is_normal(r)
  local target = r.unparsed_uri
  return r:regex(target, normal) and not r:regex(target, detour)
end

local function is_kept_out(name)
  for _, pattern in ipairs(kept_out) do
    if name:lower():find(pattern) then return true end
  end
  return false
end

local function strip(r)
  for name in pairs(r:headers_in_table()) do
    if is_kept_out(name) then r.headers_in[name] = nil end
  end
  -- A client could list the X-Auth headers in Connection, and Apache would remove them.
  local connection = r.headers_in['Connection']
  if connection and connection:lower() ~= 'upgrade' then r.headers_in['Connection'] = nil end
  r.headers_in['X-Forwarded-Proto'] = r.is_https and 'https' or 'http'
end

-- The verifier gets only the token of the request, and the method and address that a DPoP proof
-- must name.
local function headers_for_verifier(r)
  return {
    ['Authorization'] = r.headers_in['Authorization'],
    ['DPoP'] = r.headers_in['DPoP'],
    ['X-Forwarded-Method'] = r.method,
    ['X-Forwarded-Proto'] = r.headers_in['X-Forwarded-Proto'],
    ['X-Forwarded-Host'] = r.headers_in['Host'],
    ['X-Forwarded-Uri'] = r.unparsed_uri,
  }
end

-- Returns the status and the headers of the answer. A hash of the token selects the first verifier,
-- so that each token is cached by one verifier. If it does not answer, another verifier can.
local function ask(r)
  local token = r.headers_in['Authorization'] or ''
  local first = tonumber(r:sha1(token):sub(1, 6), 16)
  local scope = r.subprocess_env['GATEPASS_SCOPE'] or ''
  for tried = 0, #verifiers - 1 do
    local verifier = verifiers[(first + tried) % #verifiers + 1]
    local answered, status, headers = http.request({
      url = 'http://' .. verifier .. '/verify?scope=' .. scope,
      headers = headers_for_verifier(r),
      redirect = false,
      sink = ltn12.sink.null(),
    })
    if answered then return status, headers end
  end
  return 503, {}
end

function check_access(r)
  if not is_normal(r) then return 400 end
  strip(r)
  if r.subprocess_env['GATEPASS_PUBLIC'] == 'yes' then return apache2.OK end
  local status, headers = ask(r)
  if status == 200 then
    for _, name in ipairs(identity) do r.headers_in[name] = headers[name:lower()] or '' end
    return apache2.OK
  end
  if not refusals[status] then status = 503 end
  if status == 503 then
    r.err_headers_out['Retry-After'] = headers['retry-after'] or '5'
  elseif headers['www-authenticate'] then
    r.err_headers_out['WWW-Authenticate'] = headers['www-authenticate']
  end
  return status
end
