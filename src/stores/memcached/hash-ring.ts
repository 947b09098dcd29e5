import { digest } from '../../core/secrets.ts'

/** Of each node: enough that the shares of nodes differ by about a twelfth. */
const hashesPerNode = 20
const pointBytes = 4

/**
 * Which node has what, by consistent hashing: each node has many points on a ring of 32-bit numbers,
 * and a key belongs to the next point. A node more takes its share from all others, and nothing else
 * moves. The order in which nodes are named does not matter.
 */
export class Ring {
  readonly #points: Uint32Array
  /** Whose point it is, by the place of its name. */
  readonly #owners: Uint16Array

  /** @param names of the nodes, at least one, all different */
  constructor(names: readonly string[]) {
    const points = names
      .flatMap((name, node) => pointsOf(name).map((point) => ({ point, node, name })))
      .sort((a, b) => a.point - b.point || (a.name < b.name ? -1 : 1))
    this.#points = Uint32Array.from(points, ({ point }) => point)
    this.#owners = Uint16Array.from(points, ({ node }) => node)
  }

  /** The place of the node's name. @param key the digest of what is looked for */
  nodeOf(key: Buffer): number {
    const point = key.readUInt32BE(0)
    let [low, high] = [0, this.#points.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#points[middle] as number) < point) low = middle + 1
      else high = middle
    }
    return this.#owners[low % this.#owners.length] as number
  }
}

function pointsOf(name: string): number[] {
  return Array.from({ length: hashesPerNode }, (_, n) => digest(`${name}-${n}`)).flatMap((hash) =>
    Array.from({ length: hash.length / pointBytes }, (_, at) => hash.readUInt32BE(at * pointBytes)),
  )
}
