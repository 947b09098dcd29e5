import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { FakeClock } from '../../support/clock.ts'
import { TestProcess } from '../../support/processes.ts'
import { outsideFolder } from '../../support/project.ts'
import { makeKey, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { FeedServer } from './feed-server.ts'
import { follow } from './harness.ts'

/** nginx in front of a feed. Returns the address of the snapshot behind it. */
async function startNginx(t: Test, feed: FeedServer, directives: string): Promise<string> {
  const folder = outsideFolder(t)
  mkdirSync(join(folder, 'temp'))
  const port = await freePort()
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    join(folder, 'nginx.conf'),
    `pid ${folder}/pid;
    events {}
    http {
      access_log off;
      ${temp.map((name) => `${name}_temp_path ${folder}/temp;`).join('\n')}
      server {
        listen 127.0.0.1:${port};
        location / {
          proxy_pass http://127.0.0.1:${feed.port};
          ${directives}
        }
      }
    }`,
  )
  const path = join(folder, 'nginx.conf')
  const args = ['-c', path, '-e', `${folder}/stderr`, '-g', 'daemon off; master_process off;']
  TestProcess.start(t, args, {
    command: ['nginx'],
    cwd: folder,
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  })
  const uri = `http://127.0.0.1:${port}/revocations`
  await until('nginx answers', () =>
    fetch(uri).then(
      ({ ok }) => ok,
      () => false,
    ),
  )
  return uri
}

t.test('a stream passes through nginx', async (t) => {
  const key = makeKey('ES256')
  const feed = await FeedServer.open(t, key)
  const uri = await startNginx(t, feed, 'proxy_http_version 1.1;')
  const { answer, untilState } = follow(t, feed, new FakeClock(now_s * 1000), [key.publicJwk], {
    uri,
  })
  await untilState('streaming')
  await feed.add('session', 'session-1')
  await until('it is received', async () => (await answer()) === 'token_revoked')
})

t.test('a verifier polls if nginx buffers the stream', async (t) => {
  const key = makeKey('ES256')
  const feed = await FeedServer.open(t, key)
  const buffered = 'proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;'
  const uri = await startNginx(t, feed, buffered)
  const options = { uri, streamTimeoutSeconds: 1 }
  const one = follow(t, feed, new FakeClock(now_s * 1000), [key.publicJwk], options)
  await one.untilError(/nothing was received on the stream/)
  await one.untilState('polling')
  await feed.add('session', 'session-1')
  await until('it is polled', async () => (await one.answer()) === 'token_revoked')
})

t.test('a verifier polls if a proxy limits the stream, and respects its Retry-After', async (t) => {
  const key = makeKey('ES256')
  const feed = await FeedServer.open(t, key)
  const uri = await startNginx(
    t,
    feed,
    'if ($uri = /revocations/stream) { add_header Retry-After 1 always; return 429; }',
  )
  const one = follow(t, feed, new FakeClock(now_s * 1000), [key.publicJwk], { uri })
  await one.untilError(/status 429/)
  await one.untilState('polling')
  await feed.add('session', 'session-1')
  await until('it is polled', async () => (await one.answer()) === 'token_revoked')
})
