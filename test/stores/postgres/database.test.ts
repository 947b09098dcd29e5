import t, { type Test } from 'tap'
import { isGatepassError } from '../../../src/core/errors.ts'
import { PostgresDatabase, type PostgresOptions } from '../../../src/stores/postgres/database.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { until } from '../../support/until.ts'
import { TcpProxy } from '../tcp-proxy.ts'

const server = await PostgresServer.start(t)

const schema = {
  name: 'numbers',
  migrations: [
    {
      name: 'numbers',
      sql: `CREATE TABLE gatepass.numbers (n BIGINT PRIMARY KEY);
            CREATE SEQUENCE gatepass.attempts`,
    },
  ],
}

const insert = { name: 'insert', text: 'INSERT INTO gatepass.numbers VALUES ($1)' }
const nap = { name: 'nap', text: 'SELECT pg_sleep($1)' }
const gone = { code: 'store_unavailable', status: 503, retryAfterSeconds: 1 }

async function open(t: Test, options?: PostgresOptions, url?: string) {
  const direct = url ?? (await server.createDatabase())
  const db = closedWith(t, await PostgresDatabase.open(direct, schema, { ...patient, ...options }))
  const stored = async () => {
    const rows = await server.query('SELECT n FROM gatepass.numbers ORDER BY n', direct)
    return rows.map(({ n }) => Number(n))
  }
  return { db, url: direct, stored }
}

/** Resolves with the duration and the error of a call. */
async function timed(call: Promise<unknown>): Promise<{ tookMs: number; error: unknown }> {
  const startMs = performance.now()
  const error = await call.then(
    () => null,
    (error: unknown) => error,
  )
  return { tookMs: performance.now() - startMs, error }
}

t.test('a statement ends at its deadline, also on the server', async (t) => {
  const { db, url } = await open(t, { timeoutMs: 2_000 })
  const { tookMs, error } = await timed(db.run(nap, [3_600]))
  t.match(error, gone)
  // A timer counts from the start of its turn of the event loop, so it may end early on a busy machine.
  t.ok(tookMs > 1_000, `after ${tookMs} ms`)
  await until('it answers again', async () => (await timed(db.ping())).error === null)
  await db.close()
  await server.untilAlone(url)
})

t.test('connections and waiting calls are limited', async (t) => {
  const { db, url } = await open(t, { maxConnections: 2, maxWaiting: 5 })
  const errors: unknown[] = []
  const calls = Array.from({ length: 20 }, async () => {
    const { error } = await timed(db.run(nap, [0.1]))
    errors.push(error)
  })
  await Promise.all(calls)
  const refusal = { ...gone, detail: /too many calls/ }
  t.match(errors, [...Array(13).fill(refusal), ...Array(7).fill(null)], 'two run and five wait')
  const connected = await server.query(
    `SELECT count(*)::int AS n FROM pg_stat_activity
     WHERE datname = current_database() AND usename <> current_user`,
    url,
  )
  t.same(connected, [{ n: 2 }])
})

t.test('a server that accepts and stays silent fails the start in time', async (t) => {
  const proxy = await TcpProxy.start(t, server.port)
  proxy.silence()
  const url = proxy.through(await server.createDatabase())
  await t.rejects(PostgresDatabase.open(url, schema, { timeoutMs: 300 }), {
    code: 'store_unavailable',
    detail: /Postgres at 127\.0\.0\.1:\d+ /,
  })
})

t.test('calls to a server that becomes silent fail in time', async (t) => {
  const proxy = await TcpProxy.start(t, server.port)
  const url = proxy.through(await server.createDatabase())
  const { db } = await open(t, { timeoutMs: 4_000, maxConnections: 3 }, url)
  await Promise.all([db.ping(), db.ping()])
  proxy.silence()
  // Two calls use existing connections, one a new one, and three wait.
  const calls = Array.from({ length: 6 }, () => timed(db.ping()))
  const cause = { message: /^Postgres: .*time/ }
  for (const { error } of await Promise.all(calls)) t.match(error, { ...gone, cause })
  proxy.pass()
  await until('it answers again', async () => (await timed(db.ping())).error === null)
  proxy.silence()
  // close() does not wait for the server either.
  await db.close()
})

t.test('an undone statement is repeated, at most three times', async (t) => {
  for (const code of ['40001', '40P01']) {
    const { db, url, stored } = await open(t)
    const failUntil = (attempt: number) =>
      server.query(
        `CREATE OR REPLACE FUNCTION gatepass.fail() RETURNS trigger LANGUAGE plpgsql
           SECURITY DEFINER AS $$ BEGIN
             IF nextval('gatepass.attempts') < ${attempt} THEN
               RAISE EXCEPTION 'undone' USING ERRCODE = '${code}';
             END IF;
             RETURN NEW;
           END $$;
         CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON gatepass.numbers
           FOR EACH ROW EXECUTE FUNCTION gatepass.fail();
         ALTER SEQUENCE gatepass.attempts RESTART`,
        url,
      )
    await failUntil(4)
    await db.run(insert, [1])
    await failUntil(5)
    await t.rejects(db.run(insert, [2]), { ...gone, cause: { code } })
    await db.run(insert, [2])
    t.same(await stored(), [1, 2])
  }
})

t.test('a refused statement is not repeated, and keeps its connection', async (t) => {
  const { db, stored } = await open(t, { maxConnections: 1 })
  const backend = { name: 'backend', text: 'SELECT pg_backend_pid() AS pid' }
  const { rows } = await db.run(backend, [])
  await db.run(insert, [1])
  await t.rejects(db.run(insert, [1]), { ...gone, cause: { code: '23505' } })
  t.same((await db.run(backend, [])).rows, rows)
  t.same(await stored(), [1])
})

t.test('a statement that may have run is repeated only if it is repeatable', async (t) => {
  const proxy = await TcpProxy.start(t, server.port)
  const direct = await server.createDatabase()
  const { db } = await open(t, { maxConnections: 1 }, proxy.through(direct))
  const next = { name: 'next', text: `SELECT nextval('gatepass.attempts') AS n` }
  await db.ping()
  proxy.loseNextResponse()
  await t.rejects(db.run(next, []), gone)
  t.same((await db.run(next, [])).rows, [{ n: 2 }], 'it had happened, and once')
  proxy.loseNextResponse()
  t.same((await db.run(next, [], true)).rows, [{ n: 4 }])
})

t.test('no error contains a value of a row', async (t) => {
  const { db, url } = await open(t)
  await server.query('ALTER TABLE gatepass.numbers ADD CHECK (n < 1000000)', url)
  const error = await db.run(insert, [7_777_777]).catch((error: unknown) => error)
  t.match(error, { ...gone, cause: { code: '23514' } })
  const { cause } = error as Error
  t.notMatch(JSON.stringify({ ...(cause as Error), message: (cause as Error).message }), /7777777/)
  t.notMatch(String((cause as Error).stack), /7777777/)
})

t.test('the error of a failed start has a reason and no password', async (t) => {
  const url = new URL(await server.createDatabase())
  const why = async (changes: Partial<URL>) => {
    const other = Object.assign(new URL(url), changes)
    const error = await PostgresDatabase.open(other.href, schema).catch((error: unknown) => error)
    t.ok(isGatepassError(error, 'store_unavailable'))
    t.notMatch(JSON.stringify(error), /correct-horse|wrong-horse/)
    return (error as Error).message
  }
  t.match(await why({ password: 'wrong-horse' }), /password authentication failed/)
  t.match(await why({ password: '' }), /password/)
  t.match(await why({ pathname: '/nowhere' }), /database "nowhere" does not exist/)
  t.match(await why({ port: '1' }), /Postgres at 127\.0\.0\.1:1 cannot be used: .*ECONNREFUSED/)
  t.match(await why({ hostname: 'localhost', port: '1' }), /Postgres at localhost:1 .*ECONNREFUSED/)
})

t.test('close() waits for calls and refuses further ones', async (t) => {
  const { db, stored } = await open(t, { maxConnections: 1 })
  const calls = [db.run(nap, [0.1]), db.run(insert, [1]), db.run(insert, [2])]
  const closed = db.close()
  await t.rejects(db.ping(), gone)
  await Promise.all(calls)
  await closed
  t.same(await stored(), [1, 2])
})

t.test('no setting comes from environment variables', async (t) => {
  const url = await server.createDatabase()
  const environment = {
    PGHOST: '192.0.2.1',
    PGUSER: 'nobody',
    PGPASSWORD: 'wrong',
    PGSSLMODE: 'require',
    PGSSLNEGOTIATION: 'direct',
    PGOPTIONS: '-c statement_timeout=1',
    PGCONNECT_TIMEOUT: '1',
    PGAPPNAME: 'other',
  }
  const before = { ...process.env }
  t.teardown(() => {
    process.env = before
  })
  Object.assign(process.env, environment)
  const { db } = await open(t, {}, url)
  const text = `SELECT current_setting('statement_timeout') AS timeout,
    current_setting('application_name') AS name, current_user::text AS user`
  t.same((await db.run({ name: 'settings', text }, [])).rows, [
    { timeout: '1min', name: 'gatepass', user: 'gatepass' },
  ])
})
