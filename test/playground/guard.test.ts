import Fastify, { type InjectOptions } from 'fastify'
import t from 'tap'
import { isGatepassError } from '../../src/core/errors.ts'
import { addPageHeaders, PlaygroundGuard } from '../../src/playground/guard.ts'
import fc from '../support/properties.ts'

const origin = 'http://localhost:4000'
const host = 'localhost:4000'
const own = { host, origin, 'sec-fetch-site': 'same-origin' }

/** The error message of the guard for a request; null if it is allowed. */
async function verdict(
  check: 'checkMachine' | 'checkCaller',
  headers: Record<string, string | undefined>,
  remoteAddress = '127.0.0.1',
): Promise<string | null> {
  const guard = new PlaygroundGuard(origin)
  const app = Fastify()
  app.get('/', async (request) => {
    try {
      guard[check](request)
      return { why: null }
    } catch (error) {
      if (!isGatepassError(error) || error.code !== 'origin_not_allowed') throw error
      return { why: error.message }
    }
  })
  const sent = Object.entries(headers).filter(([, value]) => value !== undefined)
  const request: InjectOptions = { url: '/', remoteAddress, headers: Object.fromEntries(sent) }
  const { why } = (await app.inject(request)).json()
  return why
}

t.test('a browser on this machine may open the page', async (t) => {
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) {
    t.equal(await verdict('checkMachine', { host }, address), null, address)
  }
})

t.test('another machine is refused, with any headers', async (t) => {
  for (const address of ['192.168.1.7', '172.17.0.1', '::ffff:10.0.0.1', 'fe80::1', '8.8.8.8']) {
    const claims = { ...own, 'x-forwarded-for': '127.0.0.1', 'x-real-ip': '127.0.0.1' }
    t.match(await verdict('checkCaller', claims, address), /on the same machine/, address)
  }
})

t.test('X-Forwarded-For of a local proxy or tunnel reveals a remote client', async (t) => {
  const forwarded = (addresses: string) =>
    verdict('checkCaller', { ...own, 'x-forwarded-for': addresses })
  t.equal(await forwarded('127.0.0.1'), null)
  t.equal(await forwarded('::1, 127.0.0.1'), null)
  for (const addresses of ['203.0.113.9', '127.0.0.1, 203.0.113.9', '203.0.113.9, ::1', '', 'x']) {
    t.match(await forwarded(addresses), /on the same machine/, addresses)
  }
})

t.test('a foreign name of this machine is refused (DNS rebinding)', async (t) => {
  const foreign = ['evil.test', 'evil.test:4000', 'localhost', 'localhost:4001', 'localhost.:4000']
  for (const name of [...foreign, `${host}.evil.test`, 'LOCALHOST:4000', '127.0.0.1:4000']) {
    const headers = { ...own, host: name, origin: `http://${name}` }
    t.match(
      await verdict('checkCaller', headers),
      /Open the playground at http:\/\/localhost:4000/,
      name,
    )
  }
  await fc.assert(
    fc.asyncProperty(fc.domain(), async (name) => {
      return (await verdict('checkMachine', { host: name })) !== null
    }),
  )
})

t.test('only the page may call', async (t) => {
  const caller = (headers: Record<string, string | undefined>) =>
    verdict('checkCaller', { host, ...headers })
  const [same, other] = ['same-origin', 'http://localhost:3000']
  t.equal(await caller({ 'sec-fetch-site': same }), null, 'reads have no origin')
  t.equal(await caller({ 'sec-fetch-site': same, origin }), null)
  t.equal(await caller({ origin }), null, 'a browser from before Sec-Fetch-Site')
  for (const headers of [
    {},
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', origin },
    { origin: other },
    { origin: 'null' },
    { 'sec-fetch-site': same, origin: other },
  ]) {
    t.match(await caller(headers), /Only the page/, JSON.stringify(headers))
  }
})

t.test('other local names are recognized, for the redirect', async (t) => {
  const guard = new PlaygroundGuard(origin)
  const isOther = (name: string) =>
    guard.hasOtherName({ headers: { host: name } } as Parameters<typeof guard.hasOtherName>[0])
  for (const name of ['127.0.0.1:4000', '[::1]:4000', 'localhost:80']) t.ok(isOther(name), name)
  for (const name of [host, 'evil.test', '127.0.0.1.evil.test', 'localhost.evil.test', '']) {
    t.notOk(isOther(name), name)
  }
})

t.test('the page loads only its own files and cannot be framed', async (t) => {
  const app = Fastify()
  app.get('/', async (_request, reply) => {
    addPageHeaders(reply)
    return ''
  })
  const { headers } = await app.inject('/')
  const policy = String(headers['content-security-policy']).split('; ')
  t.ok(policy.includes("default-src 'none'"))
  t.ok(policy.includes("frame-ancestors 'none'"))
  t.ok(policy.includes("require-trusted-types-for 'script'"))
  t.notMatch(policy.join(' '), /unsafe|\*|http|data:|blob:/)
  t.equal(headers['cross-origin-resource-policy'], 'same-origin')
})
