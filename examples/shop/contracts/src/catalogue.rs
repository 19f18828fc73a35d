//! The products of this shop. A real shop would ask a database.

use crate::Amount;

/// Something the shop sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// The stock keeping unit: what a sale names.
    pub sku: &'static str,
    /// What a person calls it.
    pub name: &'static str,
    /// The price of one piece.
    pub price: Amount,
}

/// Everything on the shelves.
pub const PRODUCTS: [Product; 5] = [
    Product {
        sku: "APPLE-1KG",
        name: "apples, 1 kg",
        price: Amount::from_cents(349),
    },
    Product {
        sku: "BREAD-RYE",
        name: "rye bread",
        price: Amount::from_cents(420),
    },
    Product {
        sku: "COFFEE-500",
        name: "coffee, 500 g",
        price: Amount::from_cents(899),
    },
    Product {
        sku: "MILK-1L",
        name: "milk, 1 l",
        price: Amount::from_cents(129),
    },
    Product {
        sku: "TEA-GREEN",
        name: "green tea",
        price: Amount::from_cents(575),
    },
];

/// The product with this sku, if the shop has it.
#[must_use]
pub fn product(sku: &str) -> Option<Product> {
    PRODUCTS.into_iter().find(|product| product.sku == sku)
}
