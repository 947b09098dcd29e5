import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { percentile } from '../harness/statistics.ts'

/**
 * Follows the revocation feed on many streams and measures when events arrive. The parent sends the time
 * of each revocation, and 0 at the end. `streams <port> <count>`
 */

const [port = '', count = ''] = process.argv.slice(2)
process.once('disconnect', () => process.exit())
/** Below the limits of the issuer: 500 streams of an address, and 2,000 of a /24. */
const streamsPerAddress = 400
const addressesPerNetwork = 4
const connectionsAtOnce = 100
/** How long the last events may take to arrive on a busy machine. */
const maxWaitMs = 10_000
const request =
  'GET /revocations/stream HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n'

const revokedAtMs: number[] = []
const delaysMs: number[] = []
let isClosed = false

for (let opened = 0; opened < Number(count); opened += connectionsAtOnce) {
  const size = Math.min(connectionsAtOnce, Number(count) - opened)
  await Promise.all(Array.from({ length: size }, (_, offset) => follow(opened + offset)))
}
process.on('message', async (message: number) => {
  if (message !== 0) return void revokedAtMs.push(message)
  const expected = Number(count) * revokedAtMs.length
  const untilMs = Date.now() + maxWaitMs
  while (delaysMs.length < expected && Date.now() < untilMs) await sleep(100)
  const sorted = Float64Array.from(delaysMs).sort()
  if (isClosed || sorted.length !== expected) {
    throw new Error(`${sorted.length} of ${expected} events arrived.`)
  }
  process.send?.({ p50_ms: percentile(sorted, 0.5), p99_ms: percentile(sorted, 0.99) })
})
process.send?.({ isOpen: true })

/** Opens a stream. @returns when the stream has started */
function follow(index: number): Promise<void> {
  const address = Math.floor(index / streamsPerAddress)
  const network = Math.floor(address / addressesPerNetwork)
  const localAddress = `127.1.${network}.${1 + (address % addressesPerNetwork)}`
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(port), localAddress })
    socket
      .setEncoding('latin1')
      .once('error', reject)
      .once('close', () => {
        isClosed = true
      })
    socket.write(request)
    socket.once('data', () => resolve())
    readEvents(socket)
  })
}

function readEvents(socket: Socket): void {
  let received = 0
  socket.on('data', (text: string) => {
    // An event is far smaller than a TCP segment, so its first line arrives whole.
    for (const _ of text.matchAll(/^event: revocation$/gm)) {
      delaysMs.push(Date.now() - (revokedAtMs[received++] ?? Number.NaN))
    }
  })
}
