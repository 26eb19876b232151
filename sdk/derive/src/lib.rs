//! `#[derive(FromRow)]` of `usher-sdk`.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Field, Fields, LitStr, parse_macro_input};

/// Implements `FromRow` for a struct with named fields: each is read from the column of its name,
/// or from that of `#[row(column = "…")]`.
#[proc_macro_derive(FromRow, attributes(row))]
pub fn from_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implement(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn implement(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let named = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            _ => return Err(refused(input)),
        },
        _ => return Err(refused(input)),
    };
    let name = &input.ident;
    let owner = name.to_string();
    let fields = named
        .iter()
        .map(|field| {
            let ident = field.ident.as_ref().ok_or_else(|| refused(input))?;
            let text = ident.to_string();
            let text = text.strip_prefix("r#").unwrap_or(&text);
            let column = column(field)?.unwrap_or_else(|| text.to_owned());
            Ok(quote! {
                #ident: row.take(::usher_sdk::web::Field {
                    owner: #owner,
                    name: #text,
                    column: #column,
                })?
            })
        })
        .collect::<syn::Result<Vec<_>>>()?;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::usher_sdk::web::FromRow for #name #type_generics #where_clause {
            fn from_row(
                row: &mut ::usher_sdk::web::Row<'_>,
            ) -> ::core::result::Result<Self, ::usher_sdk::web::RowError> {
                ::core::result::Result::Ok(Self { #(#fields),* })
            }
        }
    })
}

fn refused(input: &DeriveInput) -> syn::Error {
    syn::Error::new_spanned(
        &input.ident,
        "FromRow reads structs with named fields: each field is a column",
    )
}

/// The column that an attribute names.
fn column(field: &Field) -> syn::Result<Option<String>> {
    let mut column = None;
    for attribute in &field.attrs {
        if attribute.path().is_ident("row") {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("column") {
                    return Err(meta.error("the only option is `column = \"…\"`"));
                }
                column = Some(meta.value()?.parse::<LitStr>()?.value());
                Ok(())
            })?;
        }
    }
    Ok(column)
}
