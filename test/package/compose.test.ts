import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { BlockList } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { environmentName, settingsOf } from '../../src/config/settings.ts'
import { forged, ofMallory, withoutNear } from '../examples/forward-auth/attacks.ts'
import { clientOf, headersLike, type RawHeaders } from '../examples/forward-auth/client.ts'
import { isNormal, trickyTargets } from '../examples/forward-auth/paths.ts'
import { startHttpServer } from '../support/http-server.ts'
import { postJson } from '../support/post-json.ts'
import { projectFolder } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { claimsOf } from '../support/tokens.ts'
import {
  compose,
  envOf,
  graceMs,
  mountSecrets,
  nginxConf,
  ownServices,
  startNginx,
  startStack,
  subnet,
} from './compose.ts'

const services = Object.entries(compose.services)

t.test('there are two issuers and three verifiers', async (t) => {
  t.same(
    ownServices.map(({ name, role }) => [name, role]),
    [
      ['issuer-1', 'issuer'],
      ['issuer-2', 'issuer'],
      ['verifier-1', 'verifier'],
      ['verifier-2', 'verifier'],
      ['verifier-3', 'verifier'],
    ],
  )
})

t.test('one service builds the image of all, as parallel builds of one name fail', async (t) => {
  const builds = Object.entries(compose.services).filter(([, { build }]) => build !== undefined)
  t.match(builds, [['issuer-1', { image: 'gatepass', build: '.' }]])
  t.equal(builds.length, 1)
})

t.test('the settings of each service are settings of its role, and acceptable', async (t) => {
  const mounts = await mountSecrets(t, createTestFolder(t))
  for (const service of ownServices) {
    const { name, role } = service
    const known = settingsOf(role).map((setting) => environmentName(setting.name))
    const { environment = {} } = compose.services[name] ?? {}
    const set = Object.keys(environment).map((variable) => variable.replace(/_FILE$/, ''))
    const unknown = set.filter((variable) => !known.includes(variable))
    t.same(unknown, [], name)
    const { settings } = loadConfig({ role, env: envOf(service, mounts), cwd: createTestFolder(t) })
    t.equal(settings.mode, 'production')
  }
})

t.test('issuers share the stores, and nothing else', async (t) => {
  const mounts = await mountSecrets(t, createTestFolder(t))
  for (const service of ownServices.filter(({ role }) => role === 'issuer')) {
    const env = envOf(service, mounts)
    const { settings } = loadConfig({ role: 'issuer', env, cwd: createTestFolder(t) })
    const url = /^postgres:\/\/gatepass:[0-9a-f]{64}@postgres\/gatepass\?sslmode=disable$/
    t.match(settings.accounts_url, url)
    t.equal(settings.keys_url, settings.accounts_url)
    t.match(settings.sessions_url, /^redis:\/\/:[0-9a-f]{64}@redis$/)
    t.equal(compose.services[service.name]?.volumes, undefined)
  }
})

t.test('issuers trust X-Forwarded-For from their own network only', async (t) => {
  for (const { role, env } of ownServices) {
    if (role === 'issuer') t.equal(env.GATEPASS_TRUSTED_PROXIES, subnet)
  }
  t.match(nginxConf, /proxy_set_header X-Forwarded-For \$remote_addr;/)
})

t.test('every service is locked down', async (t) => {
  for (const [name, service] of services) {
    t.equal(service.read_only, true, name)
    t.same(service.cap_drop, ['ALL'], name)
    t.same(service.security_opt, ['no-new-privileges:true'], name)
    t.same(service.logging, { driver: 'local' }, name)
  }
})

t.test('only nginx can be reached, and only from this machine', async (t) => {
  const open = services.filter(([, { ports }]) => ports !== undefined)
  t.same(
    open.map(([name, { ports }]) => [name, ports]),
    [['nginx', ['127.0.0.1:8080:8080']]],
  )
})

t.test('a service waits until others are healthy, and each has a health check', async (t) => {
  for (const [name, { depends_on = {}, healthcheck, image }] of services) {
    for (const [other, { condition }] of Object.entries(depends_on)) {
      t.ok(compose.services[other], `${name} waits for ${other}`)
      t.equal(condition, 'service_healthy')
    }
    t.ok(healthcheck ?? image === 'gatepass', `${name} has a health check, or its image has`)
  }
})

t.test('every secret and volume of a service exists', async (t) => {
  for (const [name, { secrets = [], volumes = [] }] of services) {
    for (const secret of secrets) t.ok(compose.secrets[secret], `${name}: ${secret}`)
    for (const volume of volumes) {
      const [source = ''] = volume.split(':')
      const isFile = source.startsWith('./')
      const isThere = isFile ? existsSync(join(projectFolder, source)) : source in compose.volumes
      t.ok(isThere, `${name}: ${source}`)
    }
  }
})

t.test('Redis gets its password by standard input, not as an argument', async (t) => {
  const folder = createTestFolder(t, {
    'redis-server': '#!/bin/sh\necho "$@"; cat',
    redis_password: 'correct-horse\n',
  })
  chmodSync(join(folder, 'redis-server'), 0o755)
  const [shell = '', option = '', script = ''] = compose.services.redis?.command ?? []
  // Compose itself replaces `$$`.
  const inFolder = script.replaceAll('$$', '$').replace('/run/secrets', folder)
  const env = { PATH: `${folder}:${process.env.PATH}` }
  const output = execFileSync(shell, [option, inFolder], { env, encoding: 'utf8' })
  t.equal(output, '- --appendonly yes\nrequirepass correct-horse\n')
})

t.test('nginx knows every issuer and every verifier', async (t) => {
  const found = [...nginxConf.matchAll(/server (\S+) max_fails=0;/g)]
  t.same(
    found.map(([, address]) => address),
    ownServices.map(({ address }) => address),
  )
})

t.test('a new issuer or verifier keeps its address, which no other service gets', async (t) => {
  const [{ ip_range = '' } = {}] = compose.networks.default.ipam.config
  const isIn = (range: string, address: string) => {
    const [net = '', bits = ''] = range.split('/')
    const list = new BlockList()
    list.addSubnet(net, Number(bits))
    return list.check(address)
  }
  const addresses = ownServices.map(({ address }) => address.split(':')[0] ?? '')
  t.equal(new Set(addresses).size, ownServices.length)
  for (const address of addresses) {
    t.ok(isIn(subnet, address), `${address} is in the network`)
    t.notOk(isIn(ip_range, address), `${address} is not for another service`)
  }
})

t.test('nginx accepts its configuration', async (t) => {
  const addresses = ownServices.map(({ address }) => [address, '127.0.0.1:4000'])
  const nginx = startNginx(t, createTestFolder(t), Object.fromEntries(addresses), ['-t'])
  t.equal(await nginx.exited, 0, nginx.stderr)
})

/** Stands in for the application behind nginx, and keeps the headers of what reaches it. */
async function startApplication(t: Test) {
  const requests: RawHeaders[] = []
  const { port } = await startHttpServer(t, ({ rawHeaders }, response) => {
    requests.push(rawHeaders)
    response.end('hello')
  })
  return { requests, address: `127.0.0.1:${port}` }
}

interface LoginFrom {
  readonly port: number
  /** An address of this machine: all that begin with 127 are. */
  readonly from: string
  readonly body: object
}

async function statusOfLogin({ port, from, body }: LoginFrom): Promise<number | undefined> {
  const headers = { 'content-type': 'application/json' }
  const target = { method: 'POST', host: '127.0.0.1', port, path: '/login', headers }
  const sent = request({ ...target, localAddress: from, agent: false }).end(JSON.stringify(body))
  const [response] = await once(sent, 'response')
  response.resume()
  return response.statusCode
}

interface Tokens {
  readonly access_token: string
  readonly session_id: string
}

/** The tokens of an answer: the access token, and the cookie with the refresh token. */
async function tokensOf(response: Response) {
  const body = (await response.json()) as Tokens
  return { ...body, cookie: response.headers.getSetCookie()[0]?.split(';')[0] ?? '' }
}

t.test('through nginx', async (t) => {
  const application = await startApplication(t)
  const stack = await startStack(t, application.address)
  const { url, issuers, folder, publicPort, demoPort, running, username, password } = stack
  const [issuer1 = '', issuer2 = ''] = issuers
  const signIn = (address: string) => postJson(`${address}/login`, { username, password })
  const refresh = (address: string, cookie: string) =>
    fetch(`${address}/refresh`, { method: 'POST', headers: { cookie } })
  const demo = (token: string) =>
    fetch(`${url}/demo/`, { headers: { authorization: `Bearer ${token}` } })
  const call = clientOf(publicPort)

  const atIssuer1 = await tokensOf(await signIn(issuer1))
  const login = await signIn(url)
  t.equal(login.status, 200)
  const first = await tokensOf(login)
  // From then on a refresh of either session rotates.
  const graceIsOver = sleep(graceMs)
  const subject = claimsOf(first.access_token).sub

  await t.test('a token is accepted, and the application receives its identity', async (t) => {
    const answer = await demo(first.access_token)
    t.equal(answer.status, 200)
    t.equal(await answer.text(), 'hello')
    t.same(headersLike(application.requests.pop() ?? [], 'x-auth'), [
      ['x-auth-client', 'default'],
      ['x-auth-scope', 'data:read data:write'],
      ['x-auth-session', first.session_id],
      ['x-auth-subject', subject],
    ])
  })

  await t.test(
    'the application receives no cookie of the issuers that grants access',
    async (t) => {
      const cookie = `a=1; ${first.cookie}; b=2; ${first.cookie.replace('pass', 'pass-sign-in')}; c=3`
      const headers = ['Cookie', cookie, 'Authorization', `Bearer ${first.access_token}`]
      t.equal((await call({ path: '/demo/', headers })).status, 200)
      const received = headersLike(application.requests.pop() ?? [], 'cookie')
      t.same(received, [['cookie', 'a=1; b=2; c=3']])
    },
  )

  await t.test('the limit for requests to issuers does not apply to the application', async (t) => {
    const headers = ['Authorization', `Bearer ${first.access_token}`]
    const large = { method: 'POST', headers, body: 'x'.repeat(20_000) }
    t.equal((await call({ path: '/demo/', ...large })).status, 200)
    application.requests.length = 0
    for (const path of ['/login', '/oauth/token']) {
      t.equal((await call({ path, ...large })).status, 413)
    }
  })

  await t.test('A24: identity headers of a client are removed', async (t) => {
    const headers = [...forged, 'Authorization', `Bearer ${first.access_token}`]
    t.equal((await call({ path: '/demo/', headers })).status, 200)
    const received = headersLike(application.requests.pop() ?? [], '')
    t.same(Object.fromEntries(received)['x-auth-subject'], subject)
    t.notMatch(JSON.stringify(withoutNear(received)), ofMallory)
  })

  await t.test('A24: identity headers without a valid token are refused', async (t) => {
    for (const token of [[], ['Authorization', `Bearer ${first.access_token}x`]]) {
      const answer = await call({ path: '/demo/', headers: [...forged, ...token] })
      t.equal(answer.status, 401)
      t.match(answer.headers['www-authenticate'], /^Bearer/)
    }
    t.same(application.requests, [])
  })

  await t.test('A32: a path that can be read in two ways is refused', async (t) => {
    const paths = trickyTargets.filter((path) => path.startsWith('/') && !isNormal(path))
    for (const path of paths) t.equal((await call({ path })).status, 400, path)
    t.same(application.requests, [])
  })

  await t.test('every endpoint of the metadata is there', async (t) => {
    const metadata = await fetch(`${url}/.well-known/openid-configuration`)
    const entries = Object.entries((await metadata.json()) as Record<string, unknown>)
    const endpoints = entries.filter(([name]) => /_endpoint$|_uri$/.test(name))
    t.ok(endpoints.length > 6)
    for (const [name, endpoint] of endpoints) {
      const { pathname } = new URL(String(endpoint))
      t.not((await fetch(`${url}${pathname}`)).status, 404, name)
    }
  })

  await t.test('other paths of the services are 404', async (t) => {
    const ours = ['/_verify', '/verify', '/metrics', '/readyz']
    for (const path of [...ours, '/revocations', '/revocations/stream', '/nowhere']) {
      t.equal((await fetch(`${url}${path}`)).status, 404, path)
    }
  })

  await t.test('each issuer serves the revocations to verifiers', async (t) => {
    for (const issuer of issuers) t.equal((await fetch(`${issuer}/revocations`)).status, 200)
  })

  await t.test('a client that guesses has to wait, and another client does not', async (t) => {
    const tryFrom = (from: string) =>
      statusOfLogin({ port: publicPort, from, body: { username, password: 'wrong' } })
    const tries: (number | undefined)[] = []
    // The first pauses are short: on a busy machine one may be over before the next try.
    do tries.push(await tryFrom('127.0.0.2'))
    while (tries.at(-1) === 401 && tries.length < 12)
    t.equal(tries.at(-1), 429)
    t.equal(await tryFrom('127.0.0.3'), 401)
  })

  await t.test('50 refreshes at both issuers at once have one successor', async (t) => {
    await graceIsOver
    const asked = Array.from({ length: 50 }, (_, n) =>
      refresh(n % 2 === 0 ? issuer1 : issuer2, atIssuer1.cookie),
    )
    const answers = await Promise.all(asked)
    t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
    const next = await Promise.all(answers.map(tokensOf))
    const [successor = '', ...others] = new Set(next.map(({ cookie }) => cookie))
    t.same(others, [])
    // Generation 1: of all these, one has rotated.
    t.match(successor, /=gpr_[^.]+\.1\./)
    t.ok(next.every(({ session_id }) => session_id === atIssuer1.session_id))
  })

  await t.test('a session goes on when an issuer and two verifiers die', async (t) => {
    const names = ['issuer-1', 'verifier-1', 'verifier-2']
    await Promise.all(names.map((name) => running[name]?.stop('SIGKILL')))
    const answer = await refresh(url, first.cookie)
    t.equal(answer.status, 200)
    const next = await tokensOf(answer)
    t.not(next.access_token, first.access_token)
    t.not(next.cookie, first.cookie)
    for (const token of [first.access_token, next.access_token]) {
      t.equal((await demo(token)).status, 200)
    }
  })

  await t.test('without a verifier the answer is 503, not 401', async (t) => {
    t.equal(await running['verifier-3']?.stop(), 0)
    const answer = await demo(first.access_token)
    t.equal(answer.status, 503)
    t.equal(answer.headers.get('retry-after'), '5')
  })

  await t.test('no token is in the log', async (t) => {
    await fetch(`${url}/oauth/logout?id_token_hint=an-ID-token`)
    const log = readFileSync(join(folder, 'stdout'), 'utf8')
    t.match(log, /"GET \/demo\/ HTTP/)
    t.notMatch(log, first.access_token)
    t.notMatch(log, first.cookie)
    t.match(log, /"GET \/oauth\/logout HTTP/)
    t.notMatch(log, 'an-ID-token')
  })

  await t.test('the example application shows the identity that it received', async (t) => {
    const headers = { 'x-auth-subject': 'ada', 'x-auth-scope': 'data:read' }
    const answer = await fetch(`http://127.0.0.1:${demoPort}/demo/`, { headers })
    t.equal(await answer.text(), 'You are ada, with the scope data:read.\n')
  })
})
