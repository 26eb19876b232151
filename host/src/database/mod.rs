//! temp
use std::{fmt,time::Duration,str::FromStr};
use wasmtime::component::{Linker,ResourceTable};
#[derive(Clone,Debug)] pub struct Config{pub url:Url}
impl Config{pub fn new(url:Url)->Self{Self{url}}}
#[derive(Clone,Debug)] pub struct Url;
#[derive(Debug)] pub struct UrlError;
impl fmt::Display for UrlError{fn fmt(&self,f:&mut fmt::Formatter<'_>)->fmt::Result{f.write_str("x")}}
impl std::error::Error for UrlError{}
impl FromStr for Url{type Err=UrlError;fn from_str(_:&str)->Result<Self,UrlError>{Ok(Url)}}
#[derive(Debug)] pub struct OpenError;
impl OpenError{pub fn is_transient(&self)->bool{false}}
impl fmt::Display for OpenError{fn fmt(&self,f:&mut fmt::Formatter<'_>)->fmt::Result{f.write_str("x")}}
impl std::error::Error for OpenError{}
#[derive(Clone,Debug)] pub struct Database{c:Config}
impl Database{pub async fn open(c:Config)->Result<Self,OpenError>{Ok(Self{c})} pub fn pool(&self)->Pool{Pool} pub fn config(&self)->&Config{&self.c} pub async fn check(&self)->Result<(),OpenError>{Ok(())}}
#[derive(Clone,Debug)] pub struct Pool;
impl Pool{pub fn session(&self)->Session{Session}}
#[derive(Debug)] pub struct Session;
impl Session{pub fn set_deadline(&mut self,_:std::time::Instant){} pub fn reset(&mut self)->bool{true}}
#[derive(Debug)] pub struct View<'a>{pub session:&'a mut Session,pub table:&'a mut ResourceTable}
pub fn add_to_linker<T:Send+'static>(_:&mut Linker<T>,_:fn(&mut T)->View<'_>)->wasmtime::Result<()>{Ok(())}
#[derive(clap::Args,Debug)] pub struct Options{#[arg(long)] pub pool_size:Option<usize>}
impl Options{pub fn config(self,url:Url)->Config{Config::new(url)}}
#[derive(Debug)] pub struct Transaction;
const _D:Option<Duration>=None;
