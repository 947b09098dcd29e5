import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { environmentName } from '../../src/config/setting.ts'
import { settingsOf } from '../../src/config/settings.ts'
import { outsideFolder, projectFolder } from '../support/project.ts'
import {
  compose,
  envOf,
  mountsIn,
  nginxConf,
  ownServices,
  startNginx,
  startStack,
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

t.test('the settings of each service are settings of its role, and acceptable', async (t) => {
  const mounts = mountsIn(outsideFolder(t))
  for (const service of ownServices) {
    const { name, role } = service
    const known = settingsOf(role).map((setting) => environmentName(setting.name))
    const { environment = {} } = compose.services[name] ?? {}
    const set = Object.keys(environment).map((variable) => variable.replace(/_FILE$/, ''))
    const unknown = set.filter((variable) => !known.includes(variable))
    t.same(unknown, [], name)
    const { settings } = loadConfig({ role, env: envOf(service, mounts), cwd: t.testdir() })
    t.equal(settings.mode, 'production')
  }
})

t.test('every service is locked down', async (t) => {
  for (const [name, service] of services) {
    t.equal(service.read_only, true, name)
    t.same(service.cap_drop, ['ALL'], name)
    t.same(service.security_opt, ['no-new-privileges:true'], name)
  }
})

t.test('only nginx can be reached, and only from this machine', async (t) => {
  const open = services.filter(([, { ports }]) => ports !== undefined)
  t.same(
    open.map(([name, { ports }]) => [name, ports]),
    [['nginx', ['127.0.0.1:8080:8080']]],
  )
})

t.test('a service waits until others are healthy, and each can tell', async (t) => {
  for (const [name, { depends_on = {}, healthcheck, image }] of services) {
    for (const [other, { condition }] of Object.entries(depends_on)) {
      t.ok(compose.services[other], `${name} waits for ${other}`)
      t.equal(condition, 'service_healthy')
    }
    t.ok(healthcheck ?? image === 'gatepass', `${name} has a health check, or its image has`)
  }
})

t.test('what a service mounts is there', async (t) => {
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

t.test('what no store uses yet runs when its profile is asked for, and only then', async (t) => {
  const inProfile = services.filter(([, { profiles }]) => profiles?.includes('scale-out'))
  t.same(
    inProfile.map(([name]) => name),
    ['postgres', 'redis'],
  )
})

t.test('nginx knows every issuer and every verifier', async (t) => {
  const found = [...nginxConf.matchAll(/server ([a-z]+-\d:\d+);/g)]
  t.same(
    found.map(([, address]) => address),
    ownServices.map(({ address }) => address),
  )
})

t.test('nginx accepts its configuration', async (t) => {
  const addresses = ownServices.map(({ address }) => [address, '127.0.0.1:4000'])
  const nginx = startNginx(t, outsideFolder(t), Object.fromEntries(addresses), ['-t'])
  t.equal(await nginx.exited, 0, nginx.stderr)
})

/** Stands in for the application behind nginx, and keeps the headers of what reaches it. */
async function startApplication(t: Test) {
  const requests: Record<string, string>[] = []
  const server = createServer(({ rawHeaders }, response) => {
    const pairs = rawHeaders.flatMap((name, i) => (i % 2 ? [] : [[name, rawHeaders[i + 1]]]))
    requests.push(Object.fromEntries(pairs))
    response.end('hello')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { requests, address: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** What a client sends that wants to be somebody else. */
const forged = {
  'X-Auth-Subject': 'mallory',
  'x-auth-session': 'mallory',
  'X-Auth-Scope': 'mallory',
  'X-Auth-Client': 'mallory',
  X_Auth_Subject: 'mallory',
  'X-Auth_Subject': 'mallory',
  'X-Forwarded-For': 'mallory',
  'X-Forwarded-Host': 'mallory',
  'X-Forwarded-Proto': 'mallory',
}

t.test('through nginx', async (t) => {
  const application = await startApplication(t)
  const { url, folder, demoPort, running, username, password } = await startStack(
    t,
    application.address,
  )
  const post = (path: string, init: RequestInit = {}) =>
    fetch(`${url}${path}`, { method: 'POST', ...init })
  const demo = (token: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/demo/`, { headers: { ...headers, authorization: `Bearer ${token}` } })

  const login = await post('/login', {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  })
  t.equal(login.status, 200)
  const first = (await login.json()) as { access_token: string; session_id: string }
  const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  const subject = JSON.parse(
    Buffer.from(first.access_token.split('.')[1] ?? '', 'base64url').toString(),
  ).sub

  await t.test('a token opens the guarded address, and says who calls', async (t) => {
    const answer = await demo(first.access_token)
    t.equal(answer.status, 200)
    t.equal(await answer.text(), 'hello')
    t.match(application.requests.pop(), {
      'X-Auth-Subject': subject,
      'X-Auth-Session': first.session_id,
      'X-Auth-Scope': 'data:read data:write',
      'X-Auth-Client': 'default',
    })
  })

  await t.test('A24: what the client says of itself does not get through', async (t) => {
    t.equal((await demo(first.access_token, forged)).status, 200)
    const headers = application.requests.pop() ?? {}
    t.equal(headers['X-Auth-Subject'], subject)
    t.notMatch(JSON.stringify(headers), /mallory/)
  })

  await t.test('A24: and opens nothing', async (t) => {
    const answers = [
      await fetch(`${url}/demo/`, { headers: forged }),
      await demo(`${first.access_token}x`, forged),
    ]
    for (const answer of answers) {
      t.equal(answer.status, 401)
      t.match(answer.headers.get('www-authenticate'), /^Bearer/)
    }
    t.same(application.requests, [])
  })

  await t.test('what is not offered is not there', async (t) => {
    for (const path of ['/_verify', '/verify', '/metrics', '/readyz', '/nowhere']) {
      t.equal((await fetch(`${url}${path}`)).status, 404, path)
    }
  })

  await t.test('it goes on with one issuer and one verifier', async (t) => {
    const stopped = ['issuer-1', 'verifier-1', 'verifier-2'].map((name) => running[name]?.stop())
    t.same(await Promise.all(stopped), [0, 0, 0])
    const refresh = await post('/refresh', { headers: { cookie } })
    t.equal(refresh.status, 200)
    const next = (await refresh.json()) as { access_token: string }
    t.not(next.access_token, first.access_token)
    for (const token of [first.access_token, next.access_token]) {
      t.equal((await demo(token)).status, 200)
    }
  })

  await t.test('without a verifier the answer is 503, not 401', async (t) => {
    await running['verifier-3']?.stop()
    const answer = await demo(first.access_token)
    t.equal(answer.status, 503)
    t.equal(answer.headers.get('retry-after'), '5')
  })

  await t.test('no token is in the log', async (t) => {
    const log = readFileSync(join(folder, 'stdout'), 'utf8')
    t.match(log, /"GET \/demo\/ HTTP/)
    t.notMatch(log, first.access_token)
    t.notMatch(log, cookie)
  })

  await t.test('the application of the example says whom it was told of', async (t) => {
    const headers = { 'x-auth-subject': 'ada', 'x-auth-scope': 'data:read' }
    const answer = await fetch(`http://127.0.0.1:${demoPort}/demo/`, { headers })
    t.equal(await answer.text(), 'You are ada, with the scope data:read.\n')
  })
})
