"""Drives every operation of the description through the client of openapi-python-client.

usage: scenario.py DESCRIPTION

BASE_URL is that of a server whose database may be changed. The generated package has to be on the
path.
"""

import json
import os
import re
import sys
from typing import TypeVar
from urllib.parse import parse_qs

from usher_users_client import Client
from usher_users_client.api.users import (
    create_user,
    delete_user,
    get_user,
    list_users,
    replace_user,
    stream_users,
    update_user,
)
from usher_users_client.models import (
    ErrorResponse,
    HTTPValidationError,
    ListedUser,
    UserCreate,
    UserResponse,
    UserUpdateWithEmail,
    UserUpdateWithName,
    ValidationErrorType,
)
from usher_users_client.types import Response

T = TypeVar("T")
User = UserResponse | ErrorResponse | HTTPValidationError

MISSING_ID = 2**40
DRIVEN = (create_user, delete_user, get_user, list_users, replace_user, stream_users, update_user)


def equal(got: object, expected: object) -> None:
    assert got == expected, f"{got!r} is not {expected!r}"


def success(response: Response[User], etag: str) -> UserResponse:
    equal((response.status_code, response.headers.get("etag")), (200, etag))
    assert isinstance(response.parsed, UserResponse)
    return response.parsed


def failure(response: Response[T], status: int, detail: str) -> None:
    equal((response.status_code, response.parsed), (status, ErrorResponse(detail)))


def invalid(response: Response[T], kind: ValidationErrorType, loc: list[int | str]) -> None:
    equal(response.status_code, 422)
    assert isinstance(response.parsed, HTTPValidationError)
    equal([(fault.type_, fault.loc) for fault in response.parsed.detail], [(kind, loc)])


def listed(response: Response[list[ListedUser] | ErrorResponse | HTTPValidationError]) -> list[ListedUser]:
    equal(response.status_code, 200)
    assert isinstance(response.parsed, list)
    return response.parsed


def in_list(user: UserResponse) -> ListedUser:
    return ListedUser(user.id, user.name, user.email)


def create(client: Client, name: str) -> UserResponse:
    new = UserCreate(name, f"{name}.python@EXAMPLE.com")
    user = success(create_user.sync_detailed(client=client, body=new), '"1"')
    equal(user, UserResponse(user.id, name, f"{name}.python@example.com"))
    return user


def drive(client: Client) -> None:
    ann = create(client, "Ann")
    same = UserCreate(ann.name, ann.email)
    taken = create_user.sync_detailed(client=client, body=same)
    failure(taken, 409, "Email already registered")
    refused = create_user.sync_detailed(client=client, body=UserCreate("Ann", "ann"))
    invalid(refused, ValidationErrorType.VALUE_ERROR, ["body", "email"])

    equal(success(get_user.sync_detailed(ann.id, client=client), '"1"'), ann)
    unchanged = get_user.sync_detailed(ann.id, client=client, if_none_match='"1"')
    equal((unchanged.status_code, unchanged.headers["etag"]), (304, '"1"'))
    failure(get_user.sync_detailed(MISSING_ID, client=client), 404, "User not found")

    bob, cid = create(client, "Bob"), create(client, "Cid")
    after = ann.id - 1
    first = list_users.sync_detailed(client=client, limit=2, after=after)
    equal(listed(first), [in_list(ann), in_list(bob)])
    link = re.fullmatch(r'<\?(.*)>; rel="next"', first.headers["link"])
    assert link
    query = {name: int(value) for name, (value,) in parse_qs(link[1]).items()}
    second = list_users.sync_detailed(client=client, limit=query["limit"], after=query["after"])
    equal((listed(second), second.headers.get("link")), ([in_list(cid)], None))
    found = list_users.sync_detailed(client=client, email="Bob.python@EXAMPLE.com")
    equal(listed(found), [in_list(bob)])
    wrong = list_users.sync_detailed(client=client, limit=0)
    invalid(wrong, ValidationErrorType.GREATER_THAN_EQUAL, ["query", "limit"])

    anna = UserCreate("Anna", "Anna.python@example.com")
    put = replace_user.sync_detailed(ann.id, client=client, body=anna, if_match='"1"')
    equal(success(put, '"2"'), UserResponse(ann.id, anna.name, anna.email))
    put = replace_user.sync_detailed(ann.id, client=client, body=anna, if_match='"1"')
    failure(put, 412, "Precondition Failed")
    put = replace_user.sync_detailed(MISSING_ID, client=client, body=anna)
    failure(put, 404, "User not found")

    anne, old = UserUpdateWithName("Anne"), UserUpdateWithEmail(ann.email)
    patch = update_user.sync_detailed(ann.id, client=client, body=anne, if_match='"1"')
    failure(patch, 412, "Precondition Failed")
    patch = update_user.sync_detailed(ann.id, client=client, body=UserUpdateWithEmail(cid.email))
    failure(patch, 409, "Email already registered")
    # The tag of a list is enough to change a user.
    (tagged,) = listed(list_users.sync_detailed(client=client, limit=1, after=after, etag=True))
    equal(tagged, ListedUser(ann.id, anna.name, anna.email, '"2"'))
    patch = update_user.sync_detailed(ann.id, client=client, body=anne, if_match=tagged.etag)
    equal(success(patch, '"3"'), UserResponse(ann.id, "Anne", anna.email))
    patch = update_user.sync_detailed(ann.id, client=client, body=old)
    equal(success(patch, '"4"'), UserResponse(ann.id, "Anne", ann.email))

    stream = stream_users.sync_detailed(client=client, after=after, etag=True)
    assert isinstance(stream.parsed, str)
    lines = [ListedUser.from_dict(json.loads(line)) for line in stream.parsed.splitlines()]
    expected = [
        ListedUser(ann.id, "Anne", ann.email, '"4"'),
        ListedUser(bob.id, bob.name, bob.email, '"1"'),
        ListedUser(cid.id, cid.name, cid.email, '"1"'),
    ]
    equal(lines, expected)
    wrong_stream = stream_users.sync_detailed(client=client, limit=0)
    invalid(wrong_stream, ValidationErrorType.GREATER_THAN_EQUAL, ["query", "limit"])

    delete = delete_user.sync_detailed(ann.id, client=client, if_match='"1"')
    failure(delete, 412, "Precondition Failed")
    for user in (ann, bob, cid):
        equal(delete_user.sync_detailed(user.id, client=client).status_code, 204)
    failure(delete_user.sync_detailed(ann.id, client=client), 404, "User not found")


def operations(description: str) -> list[str]:
    with open(description, encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    return sorted(operation["operationId"] for path in paths.values() for operation in path.values())


def main() -> None:
    # `list_users` for `listUsers`, as the generator names its modules.
    driven = [module.__name__.rsplit(".", 1)[1] for module in DRIVEN]
    camel_case = [re.sub("_(.)", lambda letter: letter[1].upper(), name) for name in driven]
    equal(sorted(camel_case), operations(sys.argv[1]))
    with Client(base_url=os.environ["BASE_URL"]) as client:
        drive(client)
    print(f"openapi-python-client: {len(DRIVEN)} operations")


if __name__ == "__main__":
    main()
