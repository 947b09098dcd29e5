import { byRate } from '../harness/compare.ts'
import { isInMemory } from '../harness/machine.ts'
import type { Scenario } from '../harness/scenario.ts'
import { loop } from '../harness/subjects.ts'
import { startMemcached } from '../stores/memcached.ts'
import { startRedis } from '../stores/redis.ts'
import { dataServers, sessionSubject } from './data-subjects.ts'

const read = 'one field of session data'
const session = '@fastify/session'

export const dataRead: Scenario = {
  name: 'data-read',
  title: 'a guarded request that reads one field on Redis, beside what people use today',
  async prepare(bench) {
    const redis = await startRedis(bench)
    const servers = await dataServers(bench, redis)
    return {
      subjects: [servers.subject(read, 'read'), sessionSubject(session, bench, redis)],
      comparisons: [
        ...byRate({ subject: read, limit: session, target: { atLeast: 1.3 } }),
        { subject: read, metric: 'round_trips', target: { atLeast: 1 } },
        { subject: read, metric: 'round_trips', target: { under: 1.001 } },
      ],
    }
  },
}

const change = 'compare-and-set of one field'
const encrypted = 'plain SET, encrypted'
const plain = 'plain SET'

export const dataChange: Scenario = {
  name: 'data-change',
  title: 'a guarded request that writes one field on Redis if it is as expected, beside plain SET',
  async prepare(bench) {
    const servers = await dataServers(bench, await startRedis(bench))
    return {
      subjects: [
        servers.subject(change, 'compare-and-set'),
        servers.subject(encrypted, 'set, encrypted'),
        servers.subject(plain, 'set'),
        servers.subject('update of one field', 'update'),
      ],
      comparisons: [
        ...byRate({ subject: change, limit: encrypted, target: { atLeast: 0.8 } }),
        // What encryption costs, too.
        ...byRate({ subject: change, limit: plain }),
        { subject: change, metric: 'round_trips', target: { under: 1.001 } },
      ],
    }
  },
}

const inSqlite = 'compare-and-set on SQLite'
const onRedis = 'compare-and-set on Redis'
const plainOnRedis = 'plain SET on Redis'

export const dataWrites: Scenario = {
  name: 'data-writes',
  title: 'the stores of session data writing one field if it is as expected, without HTTP',
  async prepare(bench) {
    if (isInMemory(bench.scratch)) {
      throw new Error('a flush to memory costs nothing: set TMPDIR to a folder on a disk')
    }
    const redis = await startRedis(bench)
    const memcached = await startMemcached(bench)
    const module = new URL('../raw/data-writes.ts', import.meta.url)
    const writes = (name: string, what: string, url: string) =>
      loop({ name, module, args: [what, url] }, bench)
    return {
      subjects: [
        writes(inSqlite, 'compare-and-set', `sqlite:${bench.scratch}/data.db`),
        writes(onRedis, 'compare-and-set', redis.url),
        writes(plainOnRedis, 'set', redis.url),
        writes('compare-and-set on memcached', 'compare-and-set', memcached.url),
      ],
      comparisons: [
        { subject: inSqlite, metric: 'per_second', target: { atLeast: 20_000 } },
        ...byRate({ subject: onRedis, limit: plainOnRedis, target: { atLeast: 0.8 } }),
      ],
    }
  },
}

const guarded = 'the store is silent'
const unguarded = 'the same, each request waiting'
/** The deadline of a call, and 50 ms. */
const latest_ms = 300

export const dataAway: Scenario = {
  name: 'data-away',
  title: 'a guarded request that reads one field of a Redis that has fallen silent',
  async prepare(bench) {
    const servers = await dataServers(bench, await startRedis(bench))
    return {
      subjects: [servers.silenced(guarded, 'away'), servers.silenced(unguarded, 'away, unguarded')],
      comparisons: [guarded, unguarded].map((subject) => ({
        subject,
        metric: 'p99_ms',
        target: { under: latest_ms },
      })),
    }
  },
}
