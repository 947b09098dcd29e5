import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import t, { type Test } from 'tap'
import type { LoadOrder, LoadOutcome } from '../../bench/harness/load.ts'
import { parseCpuList } from '../../bench/harness/machine.ts'
import {
  figuresTable,
  insertPart,
  markdownTable,
  reportOf,
  textTable,
} from '../../bench/harness/report.ts'
import { runRounds } from '../../bench/harness/result.ts'
import type { Readings, Subject } from '../../bench/harness/scenario.ts'
import { median, percentile } from '../../bench/harness/statistics.ts'
import {
  type Connection,
  type HttpRequest,
  prepareTraffic,
  share,
} from '../../bench/harness/traffic.ts'
import { readArguments } from '../../bench/options.ts'
import { findScenarios, scenarios } from '../../bench/scenarios/index.ts'
import { createSamples, createSigner } from '../../bench/tokens.ts'
import { createVerifier } from '../../src/verifier/index.ts'
import { startHttpServer } from '../support/http-server.ts'
import fc from '../support/properties.ts'

t.test('arguments: scenarios by name or by family, and options', async (t) => {
  const namesOf = (...names: string[]) => findScenarios(names).map(({ name }) => name)
  t.same(namesOf('verify'), ['verify-one', 'verify-2048', 'verify-new'])
  t.same(namesOf('refresh', 'refresh'), ['refresh'], 'the name of one is not a family')
  t.throws(() => namesOf('nothing'), /no scenario nothing/)
  const { options, only } = readArguments(['scale', '--sessions', '1e7', '--only', 'x'])
  t.match({ ...options, only }, { maxSessions: 1e7, rounds: 5, connections: 64, only: 'x' })
  t.match(readArguments(['data', '--quick']), { options: { rounds: 2 }, isWhole: false })
  t.equal(readArguments(['data', '--only', 'x']).isWhole, false)
  for (const wrong of [
    [],
    ['data', '--rounds', '0'],
    ['data', '--slow'],
    ['x', '--quick', '--document'],
  ]) {
    t.throws(() => readArguments(wrong), wrong.join(' '))
  }
  t.equal(new Set(scenarios.map(({ name }) => name)).size, scenarios.length)
})

t.test('every other round measures the subjects in the reverse order', async (t) => {
  const order: string[] = []
  const subjects = ['a', 'b', 'c'].map((name): Subject => {
    return { name, measure: async () => ({ per_second: order.push(name) }) }
  })
  const series = await runRounds(subjects, 3, () => {})
  t.equal(order.join(''), 'abccbaabc')
  t.same(series[0], {
    subject: 'a',
    comparedWith: undefined,
    readings: [1, 6, 7].map((n) => ({ per_second: n })),
  })
})

t.test('a median, and percentiles by nearest rank', async (t) => {
  t.equal(median([9, 1, 2]), 2)
  t.equal(median([1, 2, 3, 10]), 2.5)
  t.equal(percentile([1, 2, 3, 4], 0.5), 2)
  t.equal(percentile([1, 2, 3, 4], 0.99), 4)
  t.throws(() => median([]), RangeError)
})

t.test('a figure is a median, and a ratio is taken within each round', async (t) => {
  const readings = (...rates: number[]) => rates.map((rate) => ({ per_core_second: rate }))
  const { head, rows } = figuresTable([
    { subject: 'ours', comparedWith: ['bare', 'not measured'], readings: readings(50, 90, 20) },
    { subject: 'bare', readings: readings(100, 100, 40) },
  ])
  t.same(head, ['subject', 'per core-second', 'min – max', 'compared'])
  t.same(rows[0], ['ours', '50', '20 – 90', '0.50 of bare'])
  t.same(rows[1], ['bare', '100', '40 – 100', '-'])
})

t.test('a report names the length of the rounds and the connections only of a load', async (t) => {
  const report = (reading: Readings) =>
    reportOf(
      {
        scenario: 'a',
        title: 'b',
        date: '2026-11-30',
        gatepass: { commit: 'c', isModified: false },
        node: 'v24',
        machine: { cpu: 'd', cores: 2, cores_pinned: null, load_before: 0 },
        options: { ...readArguments(['a']).options, rounds: 3 },
        subjects: [{ subject: 'e', readings: [reading] }],
      },
      textTable,
    )
  t.match(report({ per_second: 1 }), /^a: b\. 3 rounds of 8 s, 64 connections, server and load not/)
  t.match(report({ heap_mib: 1 }), /^a: b\. 3 rounds, server and load not pinned\./)
})

t.test('tables for a terminal and for a document', async (t) => {
  const table = {
    head: ['what', 'n'],
    rows: [
      ['one', '1'],
      ['eleven', '11'],
    ],
  }
  t.equal(textTable(table), 'what     n\none      1\neleven  11')
  t.equal(markdownTable(table), '| what | n |\n| --- | --: |\n| one | 1 |\n| eleven | 11 |')
})

t.test('a report replaces the text between its markers of a document', async (t) => {
  const document = 'a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb'
  t.equal(insertPart(document, 'bench:x', 'new'), document.replace('old', 'new'))
  t.throws(() => insertPart(document, 'bench:y', 'new'), /no place for bench:y/)
})

t.test('a list of cores has the form of the Linux kernel', async (t) => {
  t.same(parseCpuList('0-2,5'), [0, 1, 2, 5])
  t.same(parseCpuList(''), [])
})

t.test('each connection has a share of the requests, and no request is left out', async () => {
  const counts = fc.integer({ min: 1, max: 300 })
  fc.assert(
    fc.property(counts, counts, (count, connections) => {
      const all = Array.from({ length: count }, (_, n) => n)
      const shares = Array.from({ length: connections }, (_, n) => share(all, n, connections))
      const isWhole = new Set(shares.flat()).size === count
      return isWhole && shares.every((own) => own.length > 0)
    }),
  )
})

/** A connection of autocannon that is answered by hand. */
class MadeUpConnection implements Connection {
  requests: readonly HttpRequest[] = []
  body: string | undefined

  setRequests(requests: readonly HttpRequest[]): void {
    this.requests = requests
    this.body = requests[0]?.body
  }

  setBody(body: string): void {
    this.body = body
  }

  answer(refresh_token: string): void {
    this.requests[0]?.onResponse?.(200, JSON.stringify({ refresh_token }))
  }
}

t.test('a connection refreshes its sessions in turn, each with its newest token', async (t) => {
  const failures: string[] = []
  const tokens = ['gpr_a.0.x', 'gpr_b.0.x', 'gpr_c.0.x', 'gpr_d.0.x']
  const traffic = { dialect: 'json', tokens } as const
  const setUp = prepareTraffic(traffic, 2, (reason) => failures.push(reason))
  const [first, second] = [new MadeUpConnection(), new MadeUpConnection()]
  setUp(first)
  setUp(second)
  const sent: string[] = []
  for (const successor of ['gpr_a.1.x', 'gpr_b.1.x', 'gpr_a.2.x']) {
    sent.push(JSON.parse(first.body ?? '').refresh_token)
    first.answer(successor)
  }
  t.same(sent, ['gpr_a.0.x', 'gpr_b.0.x', 'gpr_a.1.x'])
  t.match(second.body, 'gpr_c.0.x')
  t.same(failures, [])
  first.answer('gpr_b.1.x')
  t.same(failures, ['a refresh token was not rotated'])
})

/** Has a load process of the benchmark ask a server for a moment. */
async function loadOn(t: Test, listener: RequestListener) {
  const { url } = await startHttpServer(t, listener)
  const load = fork(new URL('../../bench/harness/load.ts', import.meta.url))
  t.teardown(() => load.kill())
  const requests = ['/a', '/b', '/c'].map((path) => ({ method: 'GET', path }))
  load.send({
    server: { url, pid: process.pid },
    options: { connections: 2, duration_s: 0.3, warmup_s: 0.1 },
    traffic: { requests },
  } satisfies LoadOrder)
  const [outcome] = (await once(load, 'message')) as [LoadOutcome]
  return outcome
}

t.test('a load sends every request, and reports its rate', async (t) => {
  const paths = new Set<string | undefined>()
  const outcome = await loadOn(
    t,
    ({ url }, response) => void response.end(String(paths.add(url).size)),
  )
  t.same([...paths].sort(), ['/a', '/b', '/c'])
  t.ok('readings' in outcome && (outcome.readings.per_second ?? 0) > 0)
})

t.test('an answer that is not 200 fails the load', async (t) => {
  let count = 0
  const refuseSome: RequestListener = (_request, response) => {
    count += 1
    response.writeHead(count % 2 === 0 ? 503 : 200).end()
  }
  t.match(await loadOn(t, refuseSome), { failure: 'an answer had the status 503' })
})

t.test('the good sample is accepted, and each other one refused for its defect', async (t) => {
  const signer = await createSigner()
  const verifier = createVerifier(signer.trust)
  const samples = await createSamples(signer)
  const answerTo = async (token: string) => {
    try {
      await verifier.verify(token)
      return 'accepted'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  const answers: Record<string, string> = {}
  for (const [name, token] of Object.entries(samples)) answers[name] = await answerTo(token)
  t.same(answers, {
    good: 'accepted',
    forged: 'token_signature',
    altered: 'token_signature',
    unsigned: 'token_algorithm',
    expired: 'token_expired',
    'for another audience': 'token_claims',
  })
})
