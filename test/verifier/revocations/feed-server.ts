import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import {
  type Revocation,
  signRevocationEvent,
  signRevocationSnapshot,
} from '../../../src/tokens/revocation-tokens.ts'
import { startHttpServer, type TestServer } from '../../support/http-server.ts'
import { issuer, now_s, type TestKey } from '../../support/tokens.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown

interface LogEntry extends Revocation {
  readonly expiresAtMs: number
  readonly position: string
  readonly previous: string
}

/** The revocation feed of an issuer. A test adds entries, or responds in another way. */
export class FeedServer {
  readonly log: LogEntry[] = []
  /** The key that signs the entries. */
  key: TestKey
  kept_s = 305
  /** When the log was read. */
  readAt_s = now_s
  /** Responds instead of the feed. */
  onSnapshot: Handler | null = null
  onStream: Handler | null = null
  snapshots = 0
  /** The `Last-Event-ID` of each request for a stream. */
  readonly streamsFrom: (string | undefined)[] = []
  readonly #t: Test
  readonly #server: Server
  #running: TestServer | null = null
  /** The open streams, with the length of the log that each has received at its start. */
  readonly #followers = new Map<ServerResponse, number>()
  #written: Promise<void> = Promise.resolve()
  #name = 'a'

  private constructor(t: Test, key: TestKey) {
    this.key = key
    this.#t = t
    this.#server = createServer((request, response) => {
      if (request.url === '/revocations') return void this.#snapshot(request, response)
      if (request.url === '/revocations/stream') return this.#stream(request, response)
      response.writeHead(404).end()
    })
  }

  static async open(t: Test, key: TestKey): Promise<FeedServer> {
    const server = new FeedServer(t, key)
    await server.listen()
    return server
  }

  async listen(port?: number): Promise<void> {
    this.#running = await startHttpServer(this.#t, this.#server, port)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get uri(): string {
    return `http://127.0.0.1:${this.port}/revocations`
  }

  get followers(): number {
    return this.#followers.size
  }

  /** Adds an entry to the log, and sends it unless it is `lost`. */
  async add(
    kind: Revocation['kind'],
    id: string,
    at_s = now_s,
    fate: 'sent' | 'lost' = 'sent',
  ): Promise<LogEntry> {
    const previous = this.log.at(-1)?.position ?? ''
    const position = `${this.#name}${this.log.length + 1}`
    const expiresAtMs = (at_s + this.kept_s) * 1000
    const entry = { kind, id, atMs: at_s * 1000, expiresAtMs, position, previous }
    this.log.push(entry)
    if (fate === 'sent') await this.send(entry, this.log.length)
    return entry
  }

  /** Sends an event to all streams, except those that started with `length` entries or more. */
  async send(entry: LogEntry, length = Number.POSITIVE_INFINITY): Promise<void> {
    await this.#inTurn(async () => {
      const text = await this.eventText(entry)
      for (const [follower, given] of this.#followers) if (given < length) follower.write(text)
    })
  }

  write(text: string): void {
    for (const follower of this.#followers.keys()) follower.write(text)
  }

  heartbeat(): void {
    this.write(':\n\n')
  }

  async eventText(entry: LogEntry, key = this.key): Promise<string> {
    const token = await signRevocationEvent(entry, issuer, now_s, signing(key))
    return `id: ${entry.position}\nevent: revocation\ndata: ${token}\n\n`
  }

  snapshotText(
    entries: readonly Revocation[] = this.log,
    key = this.key,
    name = issuer,
  ): Promise<string> {
    const { kept_s, readAt_s } = this
    const snapshot = { position: this.log.at(-1)?.position ?? '', entries, kept_s, readAt_s }
    return signRevocationSnapshot(snapshot, name, now_s, signing(key))
  }

  /** Ends all streams. */
  cut(): void {
    for (const follower of this.#followers.keys()) follower.end()
    this.#followers.clear()
  }

  /** Starts another log. */
  restartLog(): void {
    this.log.length = 0
    for (const follower of this.#followers.keys()) this.#followers.set(follower, 0)
    this.#name += 'a'
  }

  async close(): Promise<void> {
    await this.#running?.close()
  }

  async #snapshot(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.snapshots += 1
    if (this.onSnapshot !== null) return void this.onSnapshot(request, response)
    const etag = `"${this.log.at(-1)?.position ?? ''}"`
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end()
    const body = await this.snapshotText()
    response.writeHead(200, { etag, 'content-type': 'application/jwt' }).end(body)
  }

  /** Runs one write at a time, so that events keep their order. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#written = this.#written.then(work)
    return this.#written
  }

  #stream(request: IncomingMessage, response: ServerResponse): void {
    const from = request.headers['last-event-id'] as string | undefined
    this.streamsFrom.push(from)
    if (this.onStream !== null) return void this.onStream(request, response)
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'x-accel-buffering': 'no',
    })
    response.write('retry: 100\n\n')
    void this.#inTurn(async () => {
      const at = this.log.findIndex(({ position }) => position === from)
      const missed = this.log.slice(at + 1)
      this.#followers.set(response, this.log.length)
      for (const entry of missed) response.write(await this.eventText(entry))
      response.write(':\n\n')
    })
    response.on('close', () => this.#followers.delete(response))
  }
}

function signing({ kid, alg, privateKey }: TestKey) {
  return { kid, alg, key: privateKey }
}
