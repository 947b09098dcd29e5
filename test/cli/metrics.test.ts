import t, { type Test } from 'tap'
import { auditEvents } from '../../src/issuer/audit.ts'
import { codeBlocks, codeSpans, tableRows } from '../docs/documents.ts'
import { postJson } from '../support/post-json.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { readProjectFile } from '../support/project.ts'
import { addUser, serviceEnv, signIn } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

const env = {
  ...serviceEnv,
  GATEPASS_DATA_SECRET: 'another-secret-of-at-least-thirty-two-characters',
}

async function start(t: Test, role: string, cwd: string, more: Record<string, string> = {}) {
  const process = TestProcess.start(t, [role], { cwd, env: { ...env, ...more } })
  const { url, adminUrl } = await process.ready()
  await untilStatus(`${adminUrl}/readyz`, 200)
  return { url, metrics: async () => (await fetch(`${adminUrl}/metrics`)).text() }
}

/** Does one of everything, so that no metric is without a value. */
async function use(issuerUrl: string, verifierUrl: string): Promise<void> {
  const post = (path: string, body: object) => postJson(`${issuerUrl}${path}`, body)
  await post('/login', { username: 'ada', password: 'wrong' })
  const { access_token, refresh_token } = await signIn(issuerUrl)
  await post('/refresh', { refresh_token })
  const headers = { authorization: `Bearer ${access_token}` }
  for (const path of ['/verify', '/verify', '/data/session/cart']) {
    await fetch(`${verifierUrl}${path}`, { headers })
  }
}

/** Returns the findings of promtool. */
async function faultsOf(t: Test, metrics: string): Promise<string> {
  const options = { command: ['promtool'], cwd: createTestFolder(t), input: metrics }
  const { code, stdout, stderr } = await run(t, ['check', 'metrics'], options)
  return code === 0 ? '' : `${stdout}${stderr}`
}

function namesIn(metrics: string): string[] {
  return [...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name)
}

t.test('promtool accepts the metrics of both services', async (t) => {
  const cwd = createTestFolder(t)
  await addUser({ cwd, env })
  const issuer = await start(t, 'issuer', cwd)
  const jwksUrl = { GATEPASS_JWKS_URL: `${issuer.url}/.well-known/jwks.json` }
  const verifier = await start(t, 'verifier', cwd, jwksUrl)
  await use(issuer.url, verifier.url)
  const all = [await issuer.metrics(), await verifier.metrics()]
  for (const metrics of all) t.equal(await faultsOf(t, metrics), '')

  const rows = tableRows(readProjectFile('docs/metrics.md'))
  const documented = rows.flatMap(([first = '']) => codeSpans(first))
  const seen = new Set(all.flatMap(namesIn))
  const missing = documented.filter((name) => name.startsWith('gatepass_') && !seen.has(name))
  t.same(missing, [], 'all were there')
})

t.test(
  'every security event is counted from 0, so that the first one is an increase',
  async (t) => {
    const issuer = await start(t, 'issuer', createTestFolder(t))
    const metrics = await issuer.metrics()
    const counted = [...metrics.matchAll(/^gatepass_events_total\{event="(.*)"\} \d+$/gm)]
    t.same(counted.map(([, event]) => event).sort(), [...auditEvents].sort())
  },
)

t.test('promtool accepts the metrics of several workers', async (t) => {
  const issuer = await start(t, 'issuer', createTestFolder(t), { GATEPASS_WORKERS: '2' })
  t.equal(await faultsOf(t, await issuer.metrics()), '')
})

t.test('the alert of the documentation fires at the first failures of a route', async (t) => {
  const blocks = codeBlocks(readProjectFile('docs/metrics.md'))
  const expr = blocks.find(({ language }) => language === 'promql')?.text
  const series = 'gatepass_http_request_duration_seconds_count'
  const labels = { method: 'POST', status: '503' }
  const at = (eval_time: string, ...routes: string[]) => ({
    alertname: 'failures',
    eval_time,
    exp_alerts: routes.map((route) => ({ exp_labels: { ...labels, route } })),
  })
  const tests = {
    rule_files: ['rules.json'],
    evaluation_interval: '15s',
    tests: [
      {
        interval: '15s',
        input_series: [
          { series: `${series}{method="POST",route="/login",status="503"}`, values: '_x40 20x40' },
          { series: `${series}{method="POST",route="/refresh",status="503"}`, values: '7x60 8x20' },
          { series: `${series}{method="POST",route="/refresh",status="200"}`, values: '_x40 1x40' },
        ],
        alert_rule_test: [at('9m'), at('10m30s', '/login'), at('15m30s', '/refresh'), at('20m30s')],
      },
    ],
  }
  const cwd = createTestFolder(t, {
    'rules.json': JSON.stringify({
      groups: [{ name: 'gatepass', rules: [{ alert: 'failures', expr }] }],
    }),
    'tests.json': JSON.stringify(tests),
  })
  const { stdout, stderr } = await run(t, ['test', 'rules', 'tests.json'], {
    command: ['promtool'],
    cwd,
  })
  t.match(`${stdout}${stderr}`, /SUCCESS/)
})
