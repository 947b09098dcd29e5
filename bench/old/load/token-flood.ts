import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import type { LoadEvents, LoadSpec, RunningLoad } from './load.ts'
import type { TokenTraffic } from './traffic.ts'

/**
 * Many different tokens, as fast as the server takes them. On bare sockets, with each request built
 * before the first is sent: autocannon keeps a copy of all requests for each connection.
 */
export async function startTokenFlood(
  { url, connections, traffic }: LoadSpec & { readonly traffic: TokenTraffic },
  events: LoadEvents,
): Promise<RunningLoad> {
  const { hostname, port, host } = new URL(url)
  const head = `GET ${traffic.path} HTTP/1.1\r\nHost: ${host}\r\nConnection: keep-alive\r\n`
  const requests = readFileSync(traffic.file, 'latin1')
    .split('\n')
    .map((line) => Buffer.from(`${head}${traffic.header}${line}\r\n\r\n`, 'latin1'))
  const ends: Promise<void>[] = []
  const sockets: Socket[] = []
  const allSent = Promise.withResolvers<void>()
  let next = 0
  let isStopped = false
  for (let count = 0; count < connections; count += 1) {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    const { promise, resolve } = Promise.withResolvers<void>()
    const send = () => {
      socket.write(requests[next] ?? '')
      next = (next + 1) % requests.length
      if (next === 0) allSent.resolve()
      return performance.now()
    }
    let sentMs = 0
    socket.once('connect', () => {
      sentMs = send()
    })
    readAnswers(socket, (status) => {
      events.answered(status, performance.now() - sentMs)
      if (isStopped) socket.destroy()
      else sentMs = send()
    })
    socket.once('error', (error) => events.failed(error.message))
    socket.once('close', () => {
      if (!isStopped) events.failed('the server closed a connection')
      resolve()
    })
    sockets.push(socket)
    ends.push(promise)
  }
  // Never asleep: to wake a process on another core costs the server, on a virtual machine, a third of
  // what a request does, and the more often the slower it is.
  const stayAwake = () => {
    if (!isStopped) setImmediate(stayAwake)
  }
  stayAwake()
  // Whoever keeps tokens has met all of them before the time counts.
  if (!traffic.countsAtOnce) await allSent.promise
  return {
    ended: Promise.all(ends).then(() => {}),
    stop() {
      isStopped = true
      setTimeout(() => sockets.forEach((socket) => void socket.destroy()), 1000).unref()
    },
  }
}

/** Calls back with the status of each answer when the last byte of it is here. */
function readAnswers(socket: Socket, answered: (status: number) => void): void {
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd === -1) return
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0)
    if (text.length < headEnd + 4 + length) return
    const status = Number(text.slice(9, 12))
    text = ''
    answered(status)
  })
}
