"""Routes of a model: of the default one, of a named one, and of one version of it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path


async def _named(name: Annotated[str, Path(description="A model's name.")]) -> None:
    """Document the path's parameter; `Context.model` reads it."""


async def _version(version: Annotated[str, Path(description="A version of the model, from 1.")]) -> None:
    """Document the path's parameter; `Context.model` reads it."""


def of_every_version(routes: APIRouter, router: APIRouter) -> APIRouter:
    """`router` with the routes in all three places."""
    router.include_router(routes)
    return of_named_versions(routes, router)


def of_named_versions(routes: APIRouter, router: APIRouter) -> APIRouter:
    """`router` with the routes in the two places that name a model."""
    router.include_router(routes, prefix="/models/{name}", dependencies=[Depends(_named)])
    router.include_router(
        routes, prefix="/models/{name}/versions/{version}", dependencies=[Depends(_named), Depends(_version)]
    )
    return router
