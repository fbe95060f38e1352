-- A small S3 for nginx: objects are files under one folder, a bucket is a directory in it.
--
-- nginx itself answers plain reads of objects (sendfile, ranges, conditions); everything else comes through control() below.
-- It exists to be fast and simple, not complete: there is no authentication, and user metadata, content types, checksums,
-- versions and tags are not kept. Keys that a file system cannot hold (`a` beside `a/b`, `a//b`, `a/`, `..`) are refused.
-- The element names and error codes are those of the Amazon S3 API Reference.

local bit = require "bit"
local ffi = require "ffi"
local C = ffi.C

-- System calls rather than a shell: no quoting, no fork, and errno says why. `statx` has one layout on every architecture.
ffi.cdef [[
  struct headrace_statx {
    uint32_t mask, block_size; uint64_t attributes; uint32_t links, uid, gid; uint16_t mode, pad; uint64_t inode, size, blocks, attributes_mask;
    struct { int64_t seconds; uint32_t nanoseconds; int32_t pad; } accessed, born, changed, modified;
    uint64_t rest[16];
  };
  struct headrace_dirent { uint64_t inode; int64_t offset; uint16_t length; uint8_t kind; char name[256]; };
  int statx(int directory, const char *path, int flags, unsigned int mask, struct headrace_statx *result);
  void *opendir(const char *path);
  struct headrace_dirent *readdir(void *directory);
  int closedir(void *directory);
  int mkdir(const char *path, unsigned int mode);
  int rmdir(const char *path);
  int unlink(const char *path);
  int rename(const char *from, const char *to);
  int link(const char *from, const char *to);
  char *strerror(int errno);
]]

local ENOENT, EEXIST = 2, 17
local AT_FDCWD, STATX_BASIC_STATS = -100, 0x7ff
local S_IFMT, S_IFDIR, S_IFREG = 0xF000, 0x4000, 0x8000
local DT_UNKNOWN, DT_DIR = 0, 4
local COPY_BLOCK = 1048576
local BUFFERED_BODY = 262144 -- as nginx.conf says
-- Beyond 128 KiB, LuaJIT takes each string's memory from the kernel and gives it back: half the speed.
local DRAIN_BLOCK = 65536
local MAX_KEYS = 1000
local NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

local root, scratch, discard -- the data folder; a folder for what is not an object yet; whether uploads are thrown away

-- Files -----------------------------------------------------------------------------------------------------------------

local status_buffer = ffi.new("struct headrace_statx")
assert(ffi.sizeof(status_buffer) == 256) -- the kernel writes this many bytes

local function stat(path)
  if C.statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, status_buffer) ~= 0 then return nil end
  local kind = bit.band(status_buffer.mode, S_IFMT)
  return {
    is_directory = kind == S_IFDIR,
    is_file = kind == S_IFREG,
    size = tonumber(status_buffer.size),
    modified = tonumber(status_buffer.modified.seconds),
  }
end

local function is_directory(path)
  local found = stat(path)
  return found ~= nil and found.is_directory
end

local function is_file(path)
  local found = stat(path)
  return found ~= nil and found.is_file
end

-- The names in a directory, in byte order; those of directories end with "/".
local function entries(path)
  local directory, names = C.opendir(path), {}
  if directory == nil then return names end
  while true do
    local entry = C.readdir(directory)
    if entry == nil then break end
    local name, kind = ffi.string(entry.name), entry.kind
    if name ~= "." and name ~= ".." then
      local is_folder = kind == DT_DIR
      if kind == DT_UNKNOWN then is_folder = is_directory(path .. "/" .. name) end
      names[#names + 1] = is_folder and name .. "/" or name
    end
  end
  C.closedir(directory)
  table.sort(names)
  return names
end

local function make_parents(bucket, key)
  local path = root .. "/" .. bucket
  for position in key:gmatch("()/") do C.mkdir(path .. "/" .. key:sub(1, position - 1), 493) end -- 493 is 0755
end

-- Deletes a directory and the empty ones in it; false if there is a file somewhere.
local function remove_empty_tree(path)
  for _, name in ipairs(entries(path)) do
    if name:sub(-1) ~= "/" or not remove_empty_tree(path .. "/" .. name:sub(1, -2)) then return false end
  end
  return C.rmdir(path) == 0
end

local function remove_upload(folder)
  for _, name in ipairs(entries(folder)) do C.unlink(folder .. "/" .. name) end
  C.rmdir(folder)
end

-- Appends `length` bytes (nil: all) of `source` from `first` on. It blocks this worker: copies and multipart uploads that are
-- kept are not what this server is measured with.
local function append(target, source, first, length)
  local from, to = assert(io.open(source, "rb")), assert(io.open(target, "ab"))
  from:seek("set", first or 0)
  length = length or math.huge
  while length > 0 do
    local block = from:read(math.min(length, COPY_BLOCK))
    if not block then break end
    to:write(block)
    length = length - #block
  end
  from:close()
  to:close()
end

-- Texts -----------------------------------------------------------------------------------------------------------------

local function starts_with(text, start) return text:sub(1, #start) == start end

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\r"] = "&#13;" }
local CHARACTERS = { amp = "&", lt = "<", gt = ">", quot = '"', apos = "'" }

local function escape(text) return (text:gsub('[&<>"\r]', ENTITIES)) end

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  local bytes, first = {}, 0x3F
  repeat
    table.insert(bytes, 1, string.char(0x80 + code % 0x40))
    code, first = math.floor(code / 0x40), math.floor(first / 2)
  until code <= first
  return string.char((0xFE - 2 * first) % 0x100 + code) .. table.concat(bytes)
end

local function unescape(text)
  text = text:gsub("&#x(%x+);", function(digits) return utf8(tonumber(digits, 16)) end)
  text = text:gsub("&#(%d+);", function(digits) return utf8(tonumber(digits)) end)
  return (text:gsub("&(%a+);", CHARACTERS))
end

local function element(name, text) return "<" .. name .. ">" .. text .. "</" .. name .. ">" end

local function document(name, text) return "<" .. name .. NAMESPACE .. ">" .. text .. "</" .. name .. ">" end

local function timestamp(seconds) return os.date("!%Y-%m-%dT%H:%M:%S.000Z", seconds) end

-- The same tag that nginx gives to a file, so that all requests agree on an object's version.
local function etag(found) return string.format('"%x-%x"', found.modified, found.size) end

-- Replies ---------------------------------------------------------------------------------------------------------------

local function respond(status, xml, headers)
  -- Conditions were judged before the object changed; nginx would judge them again, by the ETag of this reply.
  ngx.req.clear_header("If-Match")
  ngx.req.clear_header("If-None-Match")
  ngx.status = status
  for name, value in pairs(headers or {}) do ngx.header[name] = value end
  if not xml then
    ngx.header["Content-Length"] = status ~= 204 and 0 or nil
    return ngx.exit(status)
  end
  local body = '<?xml version="1.0" encoding="UTF-8"?>\n' .. xml
  ngx.header["Content-Type"] = "application/xml"
  ngx.header["Content-Length"] = #body
  if ngx.req.get_method() ~= "HEAD" then ngx.print(body) else ngx.send_headers() end
  return ngx.exit(ngx.OK)
end

local function fail(status, code, message)
  return respond(status, element("Error", element("Code", code) .. element("Message", escape(message or code))
    .. element("Resource", escape(ngx.var.uri)) .. element("RequestId", ngx.var.request_id)))
end

local function not_implemented(what) return fail(501, "NotImplemented", what .. " is not something that this server can do") end

-- Requests --------------------------------------------------------------------------------------------------------------

local function request_body()
  ngx.req.read_body()
  local path = ngx.req.get_body_file()
  if not path then return ngx.req.get_body_data() or "" end
  local file = assert(io.open(path, "rb"))
  local body = file:read("*a")
  file:close()
  return body
end

-- Receives the body to its last byte and forgets it. A body that fits the buffer costs one read; a larger one is never stored.
local function drain()
  local length = tonumber(ngx.var.http_content_length)
  if not length or length <= BUFFERED_BODY then return ngx.req.read_body() end
  local socket = ngx.req.socket()
  while socket and socket:receiveany(DRAIN_BLOCK) do end
end

-- Where the body lies as a file. nginx deletes the file when the request ends, unless it was renamed until then.
local function received_file()
  ngx.req.read_body()
  local path = ngx.req.get_body_file()
  if path then return path end
  path = scratch .. "/" .. ngx.var.request_id
  assert(io.open(path, "wb")):close()
  return path
end

-- nginx resolves dot segments, and a file system merges "//": such a key would silently name another object.
local function names_one_file()
  local path = ngx.var.request_uri:match("^[^?]*"):gsub("%%2[eE]", "."):gsub("%%2[fF]", "/")
  return not (path:find("//", 1, true) or (path .. "/"):find("/%.%.?/"))
end

-- Listings --------------------------------------------------------------------------------------------------------------

-- Calls visit(key) for each file below a bucket until it returns false; wanted(directory) says whether to look into it.
-- A directory sorts as "name/", which makes this depth-first order the byte order of the keys.
local function walk(bucket, wanted, visit)
  local function descend(directory)
    for _, name in ipairs(entries(root .. "/" .. bucket .. "/" .. directory)) do
      local key, go_on = directory .. name, true
      if name:sub(-1) ~= "/" then
        go_on = visit(key)
      elseif wanted(key) then
        go_on = descend(key)
      end
      if go_on == false then return false end
    end
  end
  descend("")
end

local function text_argument(arguments, name)
  local value = arguments[name]
  return type(value) == "string" and value or ""
end

-- A token is the last key of the page before, or the last common prefix, marked by its first letter.
local function resume_point(arguments)
  local token = ngx.decode_base64(text_argument(arguments, "continuation-token"))
  if not token or token == "" then return text_argument(arguments, "start-after"), nil end
  local last = token:sub(2)
  return last, token:sub(1, 1) == "p" and last or nil
end

-- One page of keys and common prefixes: {keys, prefixes, token}.
local function list_page(bucket, arguments, limit)
  local prefix, delimiter = text_argument(arguments, "prefix"), text_argument(arguments, "delimiter")
  local after, common = resume_point(arguments)
  local page, last = { keys = {}, prefixes = {} }, nil

  local function wanted(directory)
    local overlaps = starts_with(directory, prefix) or starts_with(prefix, directory)
    local returned = directory <= after and not starts_with(after, directory)
    return overlaps and not returned and not (common and starts_with(directory, common))
  end

  local function visit(key)
    if not starts_with(key, prefix) then return key < prefix end
    if key <= after or (common and starts_with(key, common)) then return true end
    if #page.keys + #page.prefixes == limit then
      page.token = ngx.encode_base64(last)
      return false
    end
    local _, stop
    if delimiter ~= "" then _, stop = key:find(delimiter, #prefix + 1, true) end
    if stop then
      common = key:sub(1, stop)
      table.insert(page.prefixes, common)
      last = "p" .. common
    else
      table.insert(page.keys, key)
      last = "k" .. key
    end
  end

  if limit > 0 then walk(bucket, wanted, visit) end
  return page
end

local function list_objects(bucket, arguments)
  local encode = arguments["encoding-type"] == "url" and ngx.escape_uri or escape
  local limit = math.min(tonumber(arguments["max-keys"]) or MAX_KEYS, MAX_KEYS)
  local page = list_page(bucket, arguments, limit)
  local parts = {
    element("Name", bucket), element("Prefix", encode(text_argument(arguments, "prefix"))), element("MaxKeys", limit),
    element("KeyCount", #page.keys + #page.prefixes), element("IsTruncated", tostring(page.token ~= nil)),
  }
  if encode == ngx.escape_uri then table.insert(parts, element("EncodingType", "url")) end
  if page.token then table.insert(parts, element("NextContinuationToken", page.token)) end
  for _, key in ipairs(page.keys) do
    local found = stat(root .. "/" .. bucket .. "/" .. key)
    if found then
      table.insert(parts, element("Contents", element("Key", encode(key)) .. element("LastModified", timestamp(found.modified))
        .. element("ETag", escape(etag(found))) .. element("Size", found.size) .. element("StorageClass", "STANDARD")))
    end
  end
  for _, common in ipairs(page.prefixes) do table.insert(parts, element("CommonPrefixes", element("Prefix", encode(common)))) end
  return respond(200, document("ListBucketResult", table.concat(parts)))
end

local function list_buckets()
  local buckets = {}
  for _, name in ipairs(entries(root)) do
    if name:sub(-1) == "/" and name:sub(1, 1) ~= "." then
      local created = stat(root .. "/" .. name).modified
      table.insert(buckets, element("Bucket", element("Name", name:sub(1, -2)) .. element("CreationDate", timestamp(created))))
    end
  end
  return respond(200, document("ListAllMyBucketsResult",
    element("Owner", element("ID", "headrace")) .. element("Buckets", table.concat(buckets))))
end

-- Buckets ---------------------------------------------------------------------------------------------------------------

local function delete_keys(bucket)
  local body, deleted = request_body(), {}
  local quiet = body:find("<Quiet>true</Quiet>", 1, true)
  for key in body:gmatch("<Key>(.-)</Key>") do
    C.unlink(root .. "/" .. bucket .. "/" .. unescape(key))
    if not quiet then table.insert(deleted, element("Deleted", element("Key", key))) end
  end
  return respond(200, document("DeleteResult", table.concat(deleted)))
end

local function bucket_operation(method, bucket, arguments)
  local path = root .. "/" .. bucket
  if method == "PUT" then
    if C.mkdir(path, 493) == 0 then return respond(200) end
    return fail(409, "BucketAlreadyOwnedByYou")
  end
  if not is_directory(path) then return fail(404, "NoSuchBucket") end
  if method == "HEAD" then return respond(200) end
  if method == "DELETE" then
    if remove_empty_tree(path) then return respond(204) end
    return fail(409, "BucketNotEmpty")
  end
  if method == "POST" and arguments.delete then return delete_keys(bucket) end
  if method == "GET" and arguments["list-type"] == "2" then return list_objects(bucket, arguments) end
  if method == "GET" and arguments.location then return respond(200, document("LocationConstraint", "")) end
  return not_implemented("this request on a bucket")
end

-- Objects ---------------------------------------------------------------------------------------------------------------

-- Gives a finished file its place in one step. `create_only` uses link(), which fails if the name is taken, atomically.
local function publish(file, bucket, key, create_only)
  local target, finish = root .. "/" .. bucket .. "/" .. key, create_only and C.link or C.rename
  local status = finish(file, target)
  if status ~= 0 and ffi.errno() == ENOENT then
    make_parents(bucket, key)
    status = finish(file, target)
  end
  if status == 0 then return true end
  local errno = ffi.errno()
  if errno == EEXIST and create_only then return fail(412, "PreconditionFailed") end
  return not_implemented("the key (" .. ffi.string(C.strerror(errno)) .. ")")
end

local function holds_if_match(path)
  local condition, found = ngx.var.http_if_match, stat(path)
  return not condition or (found ~= nil and found.is_file and (condition == "*" or condition == etag(found)))
end

local function put_object(bucket, key)
  local path = root .. "/" .. bucket .. "/" .. key
  local create_only = ngx.var.http_if_none_match == "*"
  if not holds_if_match(path) or (create_only and is_file(path)) then return fail(412, "PreconditionFailed") end
  local file = received_file()
  local tag = etag(stat(file))
  if publish(file, bucket, key, create_only) then return respond(200, nil, { ETag = tag }) end
end

-- The copied bytes as a file in the scratch folder, or nil and the reply was sent.
local function copied_file()
  local source = root .. "/" .. ngx.unescape_uri((ngx.var.http_x_amz_copy_source:gsub("%+", "%%2B"))):gsub("^/", "")
  if not is_file(source) then return fail(404, "NoSuchKey") end
  local first, last = (ngx.var.http_x_amz_copy_source_range or ""):match("^bytes=(%d+)%-(%d+)$")
  local file = scratch .. "/" .. ngx.var.request_id
  append(file, source, tonumber(first), first and last - first + 1)
  return file
end

local function copy_result(name, found)
  return document(name, element("ETag", escape(etag(found))) .. element("LastModified", timestamp(found.modified)))
end

local function copy_object(bucket, key)
  local file = copied_file()
  if not file then return end
  local found = stat(file)
  if publish(file, bucket, key, false) then return respond(200, copy_result("CopyObjectResult", found)) end
end

-- Multipart uploads: one folder each in the scratch folder, one file a part -------------------------------------------------

local function part_path(folder, number) return string.format("%s/%05d", folder, number) end

local function upload_part(folder, number)
  local is_copy = ngx.var.http_x_amz_copy_source ~= nil
  local file = is_copy and copied_file() or not is_copy and received_file()
  if not file then return end
  local found = stat(file)
  C.rename(file, part_path(folder, number))
  if is_copy then return respond(200, copy_result("CopyPartResult", found)) end
  return respond(200, nil, { ETag = etag(found) })
end

local function list_parts(bucket, key, id, folder)
  local parts = { element("Bucket", bucket), element("Key", escape(key)), element("UploadId", id), element("IsTruncated", "false") }
  for _, name in ipairs(entries(folder)) do
    local found = stat(folder .. "/" .. name)
    table.insert(parts, element("Part", element("PartNumber", tonumber(name)) .. element("LastModified", timestamp(found.modified))
      .. element("ETag", escape(etag(found))) .. element("Size", found.size)))
  end
  return respond(200, document("ListPartsResult", table.concat(parts)))
end

-- The parts that the client names, as paths, or nil if one is missing or another than the client thinks.
local function named_parts(folder)
  local paths = {}
  for part in request_body():gmatch("<Part>(.-)</Part>") do
    local number, tag = part:match("<PartNumber>%s*(%d+)%s*</PartNumber>"), part:match("<ETag>%s*(.-)%s*</ETag>")
    local path = part_path(folder, number or 0)
    local found = stat(path)
    if not found or not tag or unescape(tag):gsub('"', "") ~= etag(found):gsub('"', "") then return nil end
    table.insert(paths, path)
  end
  return paths
end

local function completed(bucket, key, tag)
  return respond(200, document("CompleteMultipartUploadResult",
    element("Bucket", bucket) .. element("Key", escape(key)) .. element("ETag", escape(tag))))
end

local function complete_upload(bucket, key, folder)
  local parts = named_parts(folder)
  if not parts or #parts == 0 then return fail(400, "InvalidPart") end
  for number = 2, #parts do append(parts[1], parts[number]) end
  local tag = etag(stat(parts[1]))
  if not publish(parts[1], bucket, key, ngx.var.http_if_none_match == "*") then return end
  remove_upload(folder)
  return completed(bucket, key, tag)
end

local function create_upload(bucket, key)
  local id = ngx.var.request_id
  if not discard then C.mkdir(scratch .. "/" .. id, 493) end
  return respond(200, document("InitiateMultipartUploadResult",
    element("Bucket", bucket) .. element("Key", escape(key)) .. element("UploadId", id)))
end

local function upload_operation(method, bucket, key, arguments)
  local id = text_argument(arguments, "uploadId")
  local folder = scratch .. "/" .. id
  if not id:match("^%x+$") or not is_directory(folder) then return fail(404, "NoSuchUpload") end
  if method == "GET" then return list_parts(bucket, key, id, folder) end
  if method == "POST" then return complete_upload(bucket, key, folder) end
  if method == "DELETE" then
    remove_upload(folder)
    return respond(204)
  end
  if method == "PUT" and tonumber(arguments.partNumber) then return upload_part(folder, arguments.partNumber) end
  return not_implemented("this request on an upload")
end

-- With `discard`: everything that stores is received, forgotten and confirmed.
local function discard_operation(method, bucket, key, arguments)
  local tag = '"' .. ngx.var.request_id .. '"'
  drain()
  if method == "PUT" then return respond(200, nil, { ETag = tag }) end
  if arguments.uploads then return create_upload(bucket, key) end
  return completed(bucket, key, tag)
end

local SUBRESOURCES = { "acl", "attributes", "legal-hold", "partNumber", "restore", "retention", "select", "tagging", "torrent", "versionId" }

local function object_operation(method, bucket, key, arguments)
  local stores = method == "PUT" or method == "POST"
  if stores and discard then return discard_operation(method, bucket, key, arguments) end
  if stores and not is_directory(root .. "/" .. bucket) then return fail(404, "NoSuchBucket") end
  if stores and key:sub(-1) == "/" then return not_implemented("a key that ends with a slash") end
  if (ngx.var.http_content_encoding or ""):find("aws-chunked", 1, true) then return not_implemented("an aws-chunked body") end
  if arguments.uploadId then return upload_operation(method, bucket, key, arguments) end
  for _, name in ipairs(SUBRESOURCES) do
    if arguments[name] then return not_implemented("?" .. name) end
  end
  if method == "GET" or method == "HEAD" then return ngx.exec("@object") end
  if method == "DELETE" then
    C.unlink(root .. "/" .. bucket .. "/" .. key)
    return respond(204)
  end
  if method == "POST" and arguments.uploads then return create_upload(bucket, key) end
  if method == "PUT" and ngx.var.http_x_amz_copy_source then return copy_object(bucket, key) end
  if method == "PUT" then return put_object(bucket, key) end
  return not_implemented("this request on an object")
end

-- The entry points that nginx.conf names --------------------------------------------------------------------------------------

local S3 = {}

function S3.configure(options)
  root, scratch, discard = options.root, options.scratch, options.discard
end

-- Every request but a plain read of an object.
function S3.control()
  local bucket, key = ngx.var.uri:match("^/([^/]*)/?(.*)$")
  local method, arguments = ngx.req.get_method(), ngx.req.get_uri_args(0)
  if bucket == "" then return list_buckets() end
  if not names_one_file() then
    if method == "GET" or method == "HEAD" then return fail(404, "NoSuchKey") end
    return not_implemented("a key with an empty or a dot segment")
  end
  if bucket:sub(1, 1) == "." then return fail(400, "InvalidBucketName") end
  if key == "" then return bucket_operation(method, bucket, arguments) end
  return object_operation(method, bucket, key, arguments)
end

-- A plain read that nginx could not answer; to nginx, a directory is a redirect (301) or forbidden (403).
function S3.unreadable()
  local status, bucket = ngx.status, ngx.var.uri:match("^/([^/]*)")
  ngx.header["Location"] = nil
  if status == 412 then return fail(412, "PreconditionFailed") end
  if status == 416 then return fail(416, "InvalidRange") end
  return fail(404, is_directory(root .. "/" .. bucket) and "NoSuchKey" or "NoSuchBucket")
end

return S3
