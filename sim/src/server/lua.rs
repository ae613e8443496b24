//! Runs the library's own scripts, in the language that Redis runs them in.

use std::cell::RefCell;
use std::collections::HashMap;

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::commands::{Mode, Reply, Run};
use super::db::Db;

thread_local! {
    static HOST: Host = Host::new().expect("Lua starts");
    /// The data of the running script.
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

struct Host {
    lua: Lua,
    scripts: RefCell<HashMap<String, Function>>,
}

struct Context {
    db: Db,
    mode: Mode,
    now_us: u64,
    is_dirty: bool,
    /// The last error of a command of the script.
    error: Option<String>,
}

/// Runs a script on `db`.
pub(super) fn eval(
    db: &mut Db,
    mode: Mode,
    now_us: u64,
    code: &str,
    keys: &[Vec<u8>],
    args: &[Vec<u8>],
) -> Reply {
    let context = Context { db: std::mem::take(db), mode, now_us, is_dirty: false, error: None };
    CONTEXT.set(Some(context));
    let result = HOST.with(|host| host.run(code, keys, args));
    let Some(context) = CONTEXT.take() else {
        return Reply::Error("ERR the script took its data along".into());
    };
    *db = context.db;
    match result {
        Ok(reply) => reply,
        Err(error) => Reply::Error(context.error.unwrap_or_else(|| format!("ERR {error}"))),
    }
}

impl Host {
    fn new() -> mlua::Result<Self> {
        let lua = Lua::new();
        let redis = lua.create_table()?;
        redis.set("call", lua.create_function(|lua, args: MultiValue| call(lua, args, true))?)?;
        redis.set("pcall", lua.create_function(|lua, args: MultiValue| call(lua, args, false))?)?;
        lua.globals().set("redis", redis)?;
        Ok(Host { lua, scripts: RefCell::default() })
    }

    fn run(&self, code: &str, keys: &[Vec<u8>], args: &[Vec<u8>]) -> mlua::Result<Reply> {
        let known = self.scripts.borrow().get(code).cloned();
        let script = match known {
            Some(script) => script,
            None => {
                let script = self.lua.load(code).set_name("@user_script").into_function()?;
                self.scripts.borrow_mut().insert(code.to_owned(), script.clone());
                script
            }
        };
        let globals = self.lua.globals();
        globals.set("KEYS", self.list(keys)?)?;
        globals.set("ARGV", self.list(args)?)?;
        let value: Value = script.call(())?;
        from_lua(value)
    }

    fn list(&self, items: &[Vec<u8>]) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(items.len(), 0)?;
        for (at, item) in (1..).zip(items) {
            table.raw_set(at, self.lua.create_string(item)?)?;
        }
        Ok(table)
    }
}

fn call(lua: &Lua, args: MultiValue, raises: bool) -> mlua::Result<Value> {
    let mut words = Vec::with_capacity(args.len());
    for arg in args {
        words.push(match arg {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Integer(number) => number.to_string().into_bytes(),
            Value::Number(number) => format!("{number}").into_bytes(),
            other => {
                let kind = other.type_name();
                return Err(mlua::Error::RuntimeError(format!("an argument of redis.call is a {kind}")));
            }
        });
    }
    let reply = CONTEXT.with_borrow_mut(|context| match context {
        Some(context) => {
            let Context { db, mode, now_us, is_dirty, error } = context;
            let mut run = Run { db, mode: *mode, now_us: *now_us, is_dirty: *is_dirty };
            let reply = run.command(&words);
            *is_dirty = run.is_dirty;
            if let Reply::Error(text) = &reply {
                *error = Some(text.clone());
            }
            reply
        }
        None => Reply::Error("ERR no script runs".into()),
    });
    if let (Reply::Error(text), true) = (&reply, raises) {
        return Err(mlua::Error::RuntimeError(text.clone()));
    }
    to_lua(lua, reply)
}

fn to_lua(lua: &Lua, reply: Reply) -> mlua::Result<Value> {
    Ok(match reply {
        Reply::Nil => Value::Boolean(false),
        Reply::Int(number) => Value::Integer(number),
        Reply::Bulk(bytes) => Value::String(lua.create_string(bytes)?),
        Reply::Status(text) => {
            let table = lua.create_table()?;
            table.raw_set("ok", text)?;
            Value::Table(table)
        }
        Reply::Error(text) => {
            let table = lua.create_table()?;
            table.raw_set("err", text)?;
            Value::Table(table)
        }
        Reply::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in (1..).zip(items) {
                table.raw_set(at, to_lua(lua, item)?)?;
            }
            Value::Table(table)
        }
    })
}

fn from_lua(value: Value) -> mlua::Result<Reply> {
    Ok(match value {
        Value::Nil | Value::Boolean(false) => Reply::Nil,
        Value::Boolean(true) => Reply::Int(1),
        Value::Integer(number) => Reply::Int(number),
        // Redis cuts off what is behind the point.
        Value::Number(number) => Reply::Int(number as i64),
        Value::String(text) => Reply::Bulk(text.as_bytes().to_vec()),
        Value::Table(table) => {
            if let Some(error) = table.raw_get::<Option<String>>("err")? {
                return Ok(Reply::Error(error));
            }
            let mut items = Vec::new();
            for item in table.sequence_values::<Value>() {
                items.push(from_lua(item?)?);
            }
            Reply::Array(items)
        }
        other => Reply::Error(format!("ERR a script answered with a {}", other.type_name())),
    })
}
