/** The products. Prices are whole cents: a sum of floats is off by one sooner or later. */
export interface Product {
  readonly id: string
  readonly name: string
  readonly price_cents: number
}

export const currency = 'EUR'

const products: readonly Product[] = [
  { id: 'shirt', name: 'Linen shirt', price_cents: 59_00 },
  { id: 'trousers', name: 'Wool trousers', price_cents: 89_00 },
  { id: 'jumper', name: 'Merino jumper', price_cents: 79_50 },
  { id: 'coat', name: 'Rain coat', price_cents: 149_00 },
  { id: 'socks', name: 'Walking socks', price_cents: 12_90 },
  { id: 'hat', name: 'Felt hat', price_cents: 45_00 },
  { id: 'scarf', name: 'Knitted scarf', price_cents: 29_95 },
  { id: 'boots', name: 'Hiking boots', price_cents: 169_00 },
  { id: 'belt', name: 'Leather belt', price_cents: 35_00 },
  { id: 'bag', name: 'Canvas bag', price_cents: 24_00 },
  { id: 'mug', name: 'Enamel mug', price_cents: 9_50 },
  { id: 'lamp', name: 'Camping lamp', price_cents: 39_90 },
]

const byId: ReadonlyMap<string, Product> = new Map(products.map((one) => [one.id, one]))

export function allProducts(): readonly Product[] {
  return products
}

export function findProduct(id: string): Product | undefined {
  return byId.get(id)
}
