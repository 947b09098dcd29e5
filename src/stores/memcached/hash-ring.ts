import { digest } from '../../core/secrets.ts'

/** Digests per node: enough that the shares of nodes differ by about a twelfth. */
const digestsPerNode = 20
const pointBytes = 4

/**
 * Consistent hashing: assigns keys to nodes. Each node has many points on a ring of 32-bit numbers, and
 * a key belongs to the next point. An added node takes a share of every other node; no other key moves.
 * The order of the nodes does not matter.
 */
export class HashRing {
  readonly #points: Uint32Array
  /** The index of the node of each point. */
  readonly #nodes: Uint16Array

  /** @param names of the nodes, at least one, all different */
  constructor(names: readonly string[]) {
    const points = names
      .flatMap((name, node) => pointsOf(name).map((point) => ({ point, node, name })))
      .sort((a, b) => a.point - b.point || (a.name < b.name ? -1 : 1))
    this.#points = Uint32Array.from(points, ({ point }) => point)
    this.#nodes = Uint16Array.from(points, ({ node }) => node)
  }

  /** Returns the index of the node of a key. @param key a digest */
  nodeOf(key: Buffer): number {
    const point = key.readUInt32BE(0)
    let [low, high] = [0, this.#points.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#points[middle] as number) < point) low = middle + 1
      else high = middle
    }
    return this.#nodes[low % this.#nodes.length] as number
  }
}

function pointsOf(name: string): number[] {
  return Array.from({ length: digestsPerNode }, (_, n) => digest(`${name}-${n}`)).flatMap((hash) =>
    Array.from({ length: hash.length / pointBytes }, (_, at) => hash.readUInt32BE(at * pointBytes)),
  )
}
